// What is left to do after the backward kernels and products of the usual case: sums over blocks, in fixed order.
#pragma once
#include "usual.cuh"

namespace geofcs::usual {

// Gradients of the factors (b, H, W, 4, R + 2) from those of dt (4, b, H, W, R), a matrix product, and parts of those of
// B and C. A block has the four directions of 64 positions.
constexpr int JOINED = THREADS / 4;
struct FactorParts {
    const float2* grad_bc;    // (parts, 4, positions)
    const unsigned* grad_dt;  // (4, positions, R), 16-bit numbers by twos
    unsigned* grad_factors;   // (positions, 4, R + 2), likewise
    int64 positions;
    int parts, rank;
};

template <class Number>
__device__ inline void join_factor_parts(const FactorParts& p) {
    const int64 first = static_cast<int64>(blockIdx.x) * JOINED, position = first + threadIdx.x % JOINED;
    const int words = p.rank / 2, direction = threadIdx.x / JOINED;
    if (position < p.positions) {
        float2 sum = {0.0f, 0.0f};
        const float2* part = p.grad_bc + direction * p.positions + position;
#pragma unroll 8
        for (int i = 0; i < p.parts; ++i, part += 4 * p.positions) sum.x += part->x, sum.y += part->y;
        p.grad_factors[(position * 4 + direction) * (words + 1) + words] = Number::narrow_pair(sum.x, sum.y);
    }
    const int count = static_cast<int>(min(p.positions - first, static_cast<int64>(JOINED))) * 4 * words;
    unsigned* to = p.grad_factors + first * 4 * (words + 1);
#pragma unroll 4
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int row = i / words;
        to[i + row] = p.grad_dt[(row % 4 * p.positions + first + row / 4) * words + i - row * words];
    }
}

// Sums of columns; a block has 32 of them and every 8th row a warp.
struct Rows {
    const float* from;  // (rows, columns)
    float* to;          // (columns)
    int rows, columns;
};

__device__ inline void sum_rows(const Rows& p) {
    __shared__ float sums[WARPS][LANES];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, column = blockIdx.x * LANES + lane;
    float sum = 0.0f;
    if (column < p.columns) {
#pragma unroll 8
        for (int row = warp; row < p.rows; row += WARPS) sum += p.from[static_cast<int64>(row) * p.columns + column];
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= p.columns) return;
    for (int i = 1; i < WARPS; ++i) sum += sums[i][lane];
    p.to[column] = sum;
}

}  // namespace geofcs::usual
