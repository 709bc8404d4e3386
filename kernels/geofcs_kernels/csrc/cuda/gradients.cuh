// Gradients of the layer norm and of the depthwise convolution with SiLU, for training.
#pragma once
#include "pointwise.cuh"

namespace geofcs {

// With n the normalised x, g the gradient that arrived (x[1]) and u = g weight:
//     dx = scale (u - mean(u) - n mean(u n))
// Also leaves mean and scale of each position in `statistics`.
template <class In, class Out, int WIDTH, int KEPT>
__device__ inline void layer_norm_gradient(const PointwiseParams& p) {
    const NormRows<In, WIDTH, KEPT> rows(p);
#pragma unroll
    for (int r = 0; r < rows.ROWS; ++r) {
        Packed<Out, WIDTH> arrived[KEPT];
        float sum = 0.0f, along = 0.0f;
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int channel = rows.channel(k);
            if (channel >= p.channels) break;
            arrived[k] = Packed<Out, WIDTH>::load(p.x[1], rows.begin(p, r) + channel);
            const auto weight = Floats<WIDTH>::load(p.weight, channel);
            const auto normal = rows.normal(p, r, k);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                const float u = arrived[k].get(i) * weight.v[i];
                sum += u, along += u * normal.v[i];
            }
        }
        sum = sum_over(sum, p.lanes) / p.channels, along = sum_over(along, p.lanes) / p.channels;
        if (rows.first + r >= p.positions) continue;
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int channel = rows.channel(k);
            if (channel >= p.channels) break;
            const auto weight = Floats<WIDTH>::load(p.weight, channel);
            const auto normal = rows.normal(p, r, k);
            Vector<In, WIDTH> dx;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i)
                dx.v[i] = rows.scale[r] * (arrived[k].get(i) * weight.v[i] - sum - normal.v[i] * along);
            dx.store(p.y, rows.begin(p, r) + channel);
        }
        if (rows.lane == 0) Floats<2>{rows.mean[r], rows.scale[r]}.store(p.statistics, (rows.first + r) * 2);
    }
}

// Sums of g n and g over `rows` positions per block: y (gridDim.x, 2, c), float32, n from `gates`: (positions, 2), mean and
// scale. Threads: x over the vectors of a position, y over positions.
template <class In, class Out, int WIDTH>
__device__ inline void channel_gradients(const PointwiseParams& p) {
    __shared__ float shared[2][256][WIDTH];
    const int vectors = p.channels / WIDTH, across = blockDim.x, down = blockDim.y;
    const int64 first = static_cast<int64>(blockIdx.x) * p.rows, last = min(first + p.rows, p.positions);
    const int thread = threadIdx.y * across + threadIdx.x;
    const int vector = blockIdx.y * across + threadIdx.x, channel = vector * WIDTH;
    auto of_weight = Floats<WIDTH>::zeros(), of_bias = of_weight;
    for (int64 i = first + threadIdx.y; i < last && vector < vectors; i += down) {
        const auto x = Vector<In, WIDTH>::load(p.x[0], i * p.channels + channel);
        const auto g = Vector<Out, WIDTH>::load(p.x[1], i * p.channels + channel);
        const auto statistics = Floats<2>::load(p.gates, i * 2);
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) {
            of_weight.v[j] += g.v[j] * (x.v[j] - statistics.v[0]) * statistics.v[1];
            of_bias.v[j] += g.v[j];
        }
    }
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) shared[0][thread][j] = of_weight.v[j], shared[1][thread][j] = of_bias.v[j];
    __syncthreads();
    if (threadIdx.y != 0 || vector >= vectors) return;
    for (int y = 1; y < down; ++y) {
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) {
            of_weight.v[j] += shared[0][y * across + threadIdx.x][j];
            of_bias.v[j] += shared[1][y * across + threadIdx.x][j];
        }
    }
    of_weight.store(p.y, static_cast<int64>(blockIdx.x) * 2 * p.channels + channel);
    of_bias.store(p.y, (static_cast<int64>(blockIdx.x) * 2 + 1) * p.channels + channel);
}

// Sums of x, shifted, times g (x[1]): the gradient of a depthwise filter. A thread takes WIDTH channels of one row, or of
// every gridDim.y'th row, of one image; y (batch, gridDim.y, SIDE, SIDE, c), float32.
template <class Number, int WIDTH, int SIDE>
__device__ inline void filter_gradient(const PointwiseParams& p) {
    constexpr int REACH = SIDE / 2;
    const int channel = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    if (channel >= p.channels) return;
    const int64 image = static_cast<int64>(blockIdx.z) * p.height;
    Floats<WIDTH> sums[SIDE][SIDE];
#pragma unroll
    for (int r = 0; r < SIDE; ++r)
#pragma unroll
        for (int c = 0; c < SIDE; ++c) sums[r][c] = Floats<WIDTH>::zeros();
    for (int row = blockIdx.y; row < p.height; row += gridDim.y) {
        Packed<Number, WIDTH> seen[SIDE][SIDE];  // columns col - REACH to col + REACH
        const auto fetch = [&](int r, int col) {
            const int from = row + r - REACH;
            return from >= 0 && from < p.height && col < p.width
                       ? Packed<Number, WIDTH>::load(p.x[0], ((image + from) * p.width + col) * p.channels + channel)
                       : Packed<Number, WIDTH>::zeros();
        };
#pragma unroll
        for (int r = 0; r < SIDE; ++r)
#pragma unroll
            for (int c = 0; c < SIDE; ++c) seen[r][c] = c < REACH + 1 ? Packed<Number, WIDTH>::zeros() : fetch(r, c - REACH - 1);
#pragma unroll 4
        for (int col = 0; col < p.width; ++col) {
#pragma unroll
            for (int r = 0; r < SIDE; ++r) {
#pragma unroll
                for (int c = 0; c + 1 < SIDE; ++c) seen[r][c] = seen[r][c + 1];
                seen[r][SIDE - 1] = fetch(r, col + REACH);
            }
            const auto g = Vector<Number, WIDTH>::load(p.x[1], ((image + row) * p.width + col) * p.channels + channel);
#pragma unroll
            for (int r = 0; r < SIDE; ++r)
#pragma unroll
                for (int c = 0; c < SIDE; ++c)
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i) sums[r][c].v[i] += g.v[i] * seen[r][c].get(i);
        }
    }
    const int64 part = static_cast<int64>(blockIdx.z) * gridDim.y + blockIdx.y;
#pragma unroll
    for (int r = 0; r < SIDE; ++r)
#pragma unroll
        for (int c = 0; c < SIDE; ++c) sums[r][c].store(p.y, ((part * SIDE + r) * SIDE + c) * p.channels + channel);
}

}  // namespace geofcs
