// Fused pointwise operations on maps (b, h, w, c), contiguous: see `geofcs.model.inference.pointwise` for definitions.
//
// Number is the maps' type, WIDTH how many channels a thread takes at once: 8 where c is a multiple of 8, else 1.
#pragma once
#include "vectors.cuh"

namespace geofcs {

constexpr int MAPS = 3;

// Everything a launch needs, passed by value; what a kernel does not use is 0. `pointwise.py` mirrors it.
struct PointwiseParams {
    const void* x[MAPS];      // maps
    const void* coarse;       // (b, h2, w2, c), enlarged bilinearly
    const float* weight;
    const float* bias;
    const float* offset;
    const float* gates;       // (b, h, w)
    void* y;
    float* statistics;        // (b, h, w, 2), or partial sums
    int64 positions;          // b * h * w
    int batch, height, width, channels;
    int widths[MAPS];         // channels of each map
    int coarse_height, coarse_width, coarse_channels;
    int lanes;                // threads that share a position: a power of two up to 32
    int rows;                 // a thread's or a block's share of rows or positions
    float scale;
};

// Bilinear sampling without aligned corners, as torch defines it.
struct Between {
    int low, high;
    float share;  // of `high`
    __device__ Between(int index, int from, int to) {
        const float at = fmaxf((index + 0.5f) * (static_cast<float>(from) / static_cast<float>(to)) - 0.5f, 0.0f);
        low = min(static_cast<int>(at), from - 1);
        high = min(low + 1, from - 1);
        share = at - low;
    }
};

template <class Number, int WIDTH>
__device__ inline Vector<Number, WIDTH> sample(const PointwiseParams& p, int64 batch, int row, int col, int channel) {
    const Between r(row, p.coarse_height, p.height), c(col, p.coarse_width, p.width);
    const auto at = [&](int i, int j) {
        return Vector<Number, WIDTH>::load(p.coarse, ((batch * p.coarse_height + i) * p.coarse_width + j) * p.coarse_channels + channel);
    };
    const auto a = at(r.low, c.low), b = at(r.low, c.high), d = at(r.high, c.low), e = at(r.high, c.high);
    Vector<Number, WIDTH> result;
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) {
        const float top = a.v[i] + c.share * (b.v[i] - a.v[i]), bottom = d.v[i] + c.share * (e.v[i] - d.v[i]);
        result.v[i] = top + r.share * (bottom - top);
    }
    return result;
}

// Where a thread of an elementwise kernel is: one vector of one position.
template <int WIDTH>
struct Spot {
    int64 position, batch;
    int row, col, channel;
    bool inside;
    __device__ explicit Spot(const PointwiseParams& p) {
        const int64 index = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
        const unsigned vectors = p.channels / WIDTH;
        inside = index < p.positions * vectors;
        position = index / vectors;
        channel = static_cast<int>(index - position * vectors) * WIDTH;
        const int64 line = position / p.width;
        col = static_cast<int>(position - line * p.width);
        batch = line / p.height;
        row = static_cast<int>(line - batch * p.height);
    }
    __device__ int64 index(const PointwiseParams& p) const { return position * p.channels + channel; }
};

// A position's share of a warp: `lanes` threads walk its vectors together.
template <int WIDTH>
struct Team {
    int64 position;
    int lane;
    bool inside;
    __device__ explicit Team(const PointwiseParams& p) {
        const int64 thread = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
        position = thread / p.lanes;
        lane = static_cast<int>(thread % p.lanes);
        inside = position < p.positions;
    }
};

// Statistics of a layer norm's positions, of which a team has ROWS at once; a lane keeps KEPT vectors of each, so
// c <= 32 * KEPT * WIDTH.
template <class Number, int WIDTH, int KEPT>
struct NormRows {
    static constexpr int ROWS = KEPT < 4 ? 4 / KEPT : 1;
    int64 first;
    int lane, step;
    Packed<Number, WIDTH> kept[ROWS][KEPT];
    float mean[ROWS], scale[ROWS];

    __device__ explicit NormRows(const PointwiseParams& p) {
        const int64 thread = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
        first = thread / p.lanes * ROWS, lane = static_cast<int>(thread % p.lanes), step = p.lanes * WIDTH;
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int k = 0; k < KEPT; ++k)
                if (channel(k) < p.channels) kept[r][k] = Packed<Number, WIDTH>::load(p.x[0], begin(p, r) + channel(k));
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            float sum = 0.0f, squares = 0.0f;
#pragma unroll
            for (int k = 0; k < KEPT; ++k) {
                if (channel(k) >= p.channels) break;
                const auto added = offset(p, k);
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) sum += kept[r][k].get(i) + added.v[i];
            }
            mean[r] = sum_over(sum, p.lanes) / p.channels;
#pragma unroll
            for (int k = 0; k < KEPT; ++k) {
                if (channel(k) >= p.channels) break;
                const auto added = offset(p, k);
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) {
                    const float v = kept[r][k].get(i) + added.v[i] - mean[r];
                    squares += v * v;
                }
            }
            scale[r] = rsqrtf(sum_over(squares, p.lanes) / p.channels + 1e-5f);
        }
    }
    __device__ int channel(int k) const { return lane * WIDTH + k * step; }
    __device__ int64 begin(const PointwiseParams& p, int r) const { return min(first + r, p.positions - 1) * p.channels; }
    __device__ Floats<WIDTH> offset(const PointwiseParams& p, int k) const {
        return p.offset == nullptr ? Floats<WIDTH>::zeros() : Floats<WIDTH>::load(p.offset, channel(k));
    }
    // Centred and scaled, before weight and bias.
    __device__ Floats<WIDTH> normal(const PointwiseParams& p, int r, int k) const {
        auto v = offset(p, k);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) v.v[i] = (kept[r][k].get(i) + v.v[i] - mean[r]) * scale[r];
        return v;
    }
};

// x: map; weight, bias, offset (or null): (c).
template <class In, class Out, int WIDTH, int KEPT, bool GELU>
__device__ inline void layer_norm(const PointwiseParams& p) {
    const NormRows<In, WIDTH, KEPT> rows(p);
#pragma unroll
    for (int k = 0; k < KEPT; ++k) {
        const int channel = rows.channel(k);
        if (channel >= p.channels) break;
        const auto weight = Floats<WIDTH>::load(p.weight, channel), bias = Floats<WIDTH>::load(p.bias, channel);
#pragma unroll
        for (int r = 0; r < rows.ROWS; ++r) {
            if (rows.first + r >= p.positions) break;
            const auto normal = rows.normal(p, r, k);
            Vector<Out, WIDTH> y;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                const float v = normal.v[i] * weight.v[i] + bias.v[i];
                y.v[i] = GELU ? 0.5f * v * (1.0f + erff(v * 0.70710678f)) : v;
            }
            y.store(p.y, rows.begin(p, r) + channel);
        }
    }
}

enum class After { NOTHING, SILU, SILU_GRADIENT };

// What follows a depthwise convolution: SiLU, or SiLU's derivative there times the gradient `arrived`.
template <After AFTER>
__device__ inline float finish(float v, float arrived) {
    if constexpr (AFTER == After::NOTHING) return v;
    const float s = sigmoid(v);
    if constexpr (AFTER == After::SILU) return v * s;
    return arrived * s * (1.0f + v * (1.0f - s));
}

// A depthwise convolution of SIDE x SIDE; weight (SIDE, SIDE, c); x[1]: a gradient, where one is asked for. A thread walks
// down `rows` rows of COLUMNS columns and WIDTH channels and adds each row that it reads to the SIDE rows it belongs to.
template <class Number, int WIDTH, int SIDE, int COLUMNS, After AFTER>
__device__ inline void depthwise(const PointwiseParams& p) {
    constexpr int REACH = SIDE / 2, SPAN = COLUMNS + SIDE - 1;
    const int groups = (p.channels + WIDTH - 1) / WIDTH, strips = (p.width + COLUMNS - 1) / COLUMNS;
    const int runs = (p.height + p.rows - 1) / p.rows;
    int64 index = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<int64>(p.batch) * runs * strips * groups) return;
    const int channel = static_cast<int>(index % groups) * WIDTH;
    index /= groups;
    const int col0 = static_cast<int>(index % strips) * COLUMNS;
    index /= strips;
    const int row0 = static_cast<int>(index % runs) * p.rows;
    const int64 image = index / runs * p.height;
    const int end = min(row0 + p.rows, p.height);

    const auto start = p.bias != nullptr ? Floats<WIDTH>::load(p.bias, channel) : Floats<WIDTH>::zeros();
    float sums[SIDE][COLUMNS][WIDTH];  // of the rows `row - REACH` to `row + REACH`
#pragma unroll
    for (int r = 0; r < SIDE; ++r)
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c)
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) sums[r][c][i] = start.v[i];
    // Few enough weights stay in registers; more are read again for each row, from the L1 cache.
    constexpr bool KEEP = SIDE == 3;
    const auto weight_at = [&](int r, int c) { return Floats<WIDTH>::load(p.weight, (r * SIDE + c) * p.channels + channel); };
    Floats<WIDTH> weights[KEEP ? SIDE : 1][KEEP ? SIDE : 1];
    if constexpr (KEEP) {
#pragma unroll
        for (int r = 0; r < SIDE; ++r)
#pragma unroll
            for (int c = 0; c < SIDE; ++c) weights[r][c] = weight_at(r, c);
    }
    using Raw = Packed<Number, WIDTH>;
    const auto fetch = [&](int row, Raw(&to)[SPAN]) {
        const bool there = row >= 0 && row < p.height;
#pragma unroll
        for (int c = 0; c < SPAN; ++c) {
            const int col = col0 + c - REACH;
            to[c] = there && col >= 0 && col < p.width
                        ? Raw::load(p.x[0], ((image + row) * p.width + col) * p.channels + channel)
                        : Raw::zeros();
        }
    };
    Raw next[SPAN];
    fetch(row0 - REACH, next);
#pragma unroll 1
    for (int row = row0 - REACH; row < end + REACH; ++row) {
        Vector<Number, WIDTH> read[SPAN];
#pragma unroll
        for (int c = 0; c < SPAN; ++c) read[c] = Vector<Number, WIDTH>::of(next[c]);
        if (row + 1 < end + REACH) fetch(row + 1, next);
#pragma unroll
        for (int r = 0; r < SIDE; ++r)  // sums[r] is row + r - REACH, which sees this row at SIDE - 1 - r
#pragma unroll
            for (int c = 0; c < SIDE; ++c) {
                Floats<WIDTH> weight;
                if constexpr (KEEP) weight = weights[SIDE - 1 - r][c];
                else weight = weight_at(SIDE - 1 - r, c);
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i) sums[r][j][i] += weight.v[i] * read[j + c].v[i];
            }
        const int done = row - REACH;
        if (done >= row0) {
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                if (col0 + j >= p.width) break;
                const int64 to = ((image + done) * p.width + col0 + j) * p.channels + channel;
                auto y = Vector<Number, WIDTH>::zeros();
                if constexpr (AFTER == After::SILU_GRADIENT) y = Vector<Number, WIDTH>::load(p.x[1], to);
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) y.v[i] = finish<AFTER>(sums[0][j][i], y.v[i]);
                y.store(p.y, to);
            }
        }
#pragma unroll
        for (int r = 0; r < SIDE; ++r)
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) sums[r][c][i] = r + 1 < SIDE ? sums[r + 1][c][i] : start.v[i];
    }
}

// First half of `pools`: sums and maxima over `rows` positions per block; statistics (b, gridDim.x, 2, C), C = all channels.
// Threads: x over the vectors of a map, y over positions; blocks: chunks of positions, batch, maps.
template <class Number, int WIDTH>
__device__ inline void pool_chunks(const PointwiseParams& p) {
    __shared__ float shared[2][256][WIDTH];
    const int map = blockIdx.z, channels = p.widths[map], area = p.height * p.width;
    const int vectors = channels / WIDTH, across = blockDim.x, down = blockDim.y;
    int before = 0;
    for (int m = 0; m < map; ++m) before += p.widths[m];
    const int first = blockIdx.x * p.rows, last = min(first + p.rows, area);
    const int thread = threadIdx.y * across + threadIdx.x;
    for (int base = 0; base < vectors; base += across) {  // all threads take part in the barriers
        const int vector = base + threadIdx.x;
        auto sum = Floats<WIDTH>::zeros();
        Floats<WIDTH> largest;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) largest.v[i] = minus_infinity();
        for (int i = first + threadIdx.y; i < last && vector < vectors; i += down) {
            const auto v = Vector<Number, WIDTH>::load(
                p.x[map], (static_cast<int64>(blockIdx.y) * area + i) * channels + vector * WIDTH);
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) sum.v[j] += v.v[j], largest.v[j] = fmaxf(largest.v[j], v.v[j]);
        }
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) shared[0][thread][j] = sum.v[j], shared[1][thread][j] = largest.v[j];
        __syncthreads();
        if (threadIdx.y == 0 && vector < vectors) {
            for (int y = 1; y < down; ++y)
#pragma unroll
                for (int j = 0; j < WIDTH; ++j) {
                    sum.v[j] += shared[0][y * across + threadIdx.x][j];
                    largest.v[j] = fmaxf(largest.v[j], shared[1][y * across + threadIdx.x][j]);
                }
            const int64 row = (static_cast<int64>(blockIdx.y) * gridDim.x + blockIdx.x) * 2;
            sum.store(p.statistics, row * p.channels + before + vector * WIDTH);
            largest.store(p.statistics, (row + 1) * p.channels + before + vector * WIDTH);
        }
        __syncthreads();
    }
}

// Second half: over the chunks, of which there are `rows`; y (2, b, C), means and maxima.
__device__ inline void pool_rest(const PointwiseParams& p) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= p.batch * p.channels) return;
    const int batch = index / p.channels, channel = index % p.channels;
    float sum = 0.0f, largest = minus_infinity();
    for (int chunk = 0; chunk < p.rows; ++chunk) {
        const int64 row = (static_cast<int64>(batch) * p.rows + chunk) * 2;
        sum += p.statistics[row * p.channels + channel];
        largest = fmaxf(largest, p.statistics[(row + 1) * p.channels + channel]);
    }
    float* y = static_cast<float*>(p.y);
    y[index] = sum / static_cast<float>(p.height * p.width);
    y[p.batch * p.channels + index] = largest;
}

// x: maps of `widths`; weight (b, C); y (b, h, w, C); statistics: mean and maximum over C.
template <class Number, int WIDTH>
__device__ inline void weigh(const PointwiseParams& p) {
    const Team<WIDTH> at(p);
    const int64 position = at.inside ? at.position : 0, batch = position / (p.height * p.width);
    float sum = 0.0f, largest = minus_infinity();
    int before = 0;
    for (int map = 0; map < MAPS; ++map) {
        for (int channel = at.lane * WIDTH; channel < p.widths[map]; channel += p.lanes * WIDTH) {
            auto v = Vector<Number, WIDTH>::load(p.x[map], position * p.widths[map] + channel);
            const auto weight = Floats<WIDTH>::load(p.weight, batch * p.channels + before + channel);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                v.v[i] *= weight.v[i];
                sum += v.v[i], largest = fmaxf(largest, v.v[i]);
            }
            if (at.inside) v.store(p.y, position * p.channels + before + channel);
        }
        before += p.widths[map];
    }
    sum = sum_over(sum, p.lanes), largest = largest_over(largest, p.lanes);
    if (at.inside && at.lane == 0) Floats<2>{sum / p.channels, largest}.store(p.statistics, position * 2);
}

// statistics (b, h, w, 2); weight (side, side, 2), side = `rows`; bias (1); y (b, h, w), float32.
__device__ inline void gate(const PointwiseParams& p) {
    const int64 position = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= p.positions) return;
    const int64 line = position / p.width, image = line / p.height * p.height;
    const int col = static_cast<int>(position % p.width), row = static_cast<int>(line - image), reach = p.rows / 2;
    float sum = p.bias[0];
    for (int i = -reach; i <= reach; ++i) {
        if (row + i < 0 || row + i >= p.height) continue;
        for (int j = -reach; j <= reach; ++j) {
            if (col + j < 0 || col + j >= p.width) continue;
            const auto v = Floats<2>::load(p.statistics, ((image + row + i) * p.width + col + j) * 2);
            const auto weight = Floats<2>::load(p.weight, ((i + reach) * p.rows + j + reach) * 2);
            sum += v.v[0] * weight.v[0] + v.v[1] * weight.v[1];
        }
    }
    static_cast<float*>(p.y)[position] = sigmoid(sum);
}

// relu(x gates + bias) + shortcut; the shortcut is x[1].
template <class Number, int WIDTH>
__device__ inline void gated_relu_add(const PointwiseParams& p) {
    const Spot<WIDTH> at(p);
    if (!at.inside) return;
    auto v = Vector<Number, WIDTH>::load(p.x[0], at.index(p));
    const auto shortcut = Vector<Number, WIDTH>::load(p.x[1], at.index(p));
    const auto bias = Floats<WIDTH>::load(p.bias, at.channel);
    const float gate = p.gates[at.position];
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) v.v[i] = fmaxf(v.v[i] * gate + bias.v[i], 0.0f) + shortcut.v[i];
    v.store(p.y, at.index(p));
}

// x times a gate per position or times sigmoid(x[1]), each if there is one, plus coarse, if there is one.
template <class Number, int WIDTH>
__device__ inline void add_enlarged(const PointwiseParams& p) {
    const Spot<WIDTH> at(p);
    if (!at.inside) return;
    auto v = Vector<Number, WIDTH>::load(p.x[0], at.index(p));
    if (p.gates != nullptr) {
        const float gate = p.gates[at.position];
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) v.v[i] *= gate;
    }
    if (p.x[1] != nullptr) {
        const auto guide = Vector<Number, WIDTH>::load(p.x[1], at.index(p));
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) v.v[i] *= sigmoid(guide.v[i]);
    }
    if (p.coarse != nullptr) {
        const auto coarse = sample<Number, WIDTH>(p, at.batch, at.row, at.col, at.channel);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) v.v[i] += coarse.v[i];
    }
    v.store(p.y, at.index(p));
}

// x with offset (c) added, in place.
template <class Number, int WIDTH>
__device__ inline void add_to_channels(const PointwiseParams& p) {
    const Spot<WIDTH> at(p);
    if (!at.inside) return;
    auto v = Vector<Number, WIDTH>::load(p.x[0], at.index(p));
    const auto offset = Floats<WIDTH>::load(p.offset, at.channel);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) v.v[i] += offset.v[i];
    v.store(p.y, at.index(p));
}

// relu(x + (x[1] + bias) weight), weight (b, c), bias (c).
template <class Number, int WIDTH>
__device__ inline void weighed_add_relu(const PointwiseParams& p) {
    const Spot<WIDTH> at(p);
    if (!at.inside) return;
    auto v = Vector<Number, WIDTH>::load(p.x[0], at.index(p));
    const auto branch = Vector<Number, WIDTH>::load(p.x[1], at.index(p));
    const auto weight = Floats<WIDTH>::load(p.weight, at.batch * p.channels + at.channel);
    const auto bias = Floats<WIDTH>::load(p.bias, at.channel);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) v.v[i] = fmaxf(v.v[i] + (branch.v[i] + bias.v[i]) * weight.v[i], 0.0f);
    v.store(p.y, at.index(p));
}

// x (b, h, w, c) of two dates as [a, amplitude a, b, amplitude b, |a - b|]; x[1] (2b, h, coarse_width, c) holds the
// columns up to w / 2 of spectra that mirror themselves, or is null. p.batch counts pairs.
template <class Number, int WIDTH>
__device__ inline void join_dates(const PointwiseParams& p) {
    const Spot<WIDTH> at(p);
    if (!at.inside) return;
    using V = Vector<Number, WIDTH>;
    const int64 date = p.positions * p.channels;
    const V a = V::load(p.x[0], at.index(p)), b = V::load(p.x[0], date + at.index(p));
    V difference;
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) difference.v[i] = fabsf(a.v[i] - b.v[i]);
    const int parts = p.x[1] == nullptr ? 3 : 5;
    const int64 to = at.position * p.channels * parts + at.channel;
    int part = 0;
    a.store(p.y, to + part++ * p.channels);
    const bool mirrored = at.col >= p.coarse_width;
    const int64 row = mirrored && at.row > 0 ? p.height - at.row : at.row, col = mirrored ? p.width - at.col : at.col;
    const int64 from = ((at.batch * p.height + row) * p.coarse_width + col) * p.channels + at.channel;
    if (parts == 5) V::load(p.x[1], from).store(p.y, to + part++ * p.channels);
    b.store(p.y, to + part++ * p.channels);
    const int64 half = static_cast<int64>(p.batch) * p.height * p.coarse_width * p.channels;
    if (parts == 5) V::load(p.x[1], half + from).store(p.y, to + part++ * p.channels);
    difference.store(p.y, to + part * p.channels);
}

// Blocks of 32 x 8 threads turn tiles of 32 positions x 32 channels; blocks: tiles of positions, of channels, batch.
// `rows`: positions of an image. x (b, rows, c) -> y (b, c, rows), float32.
template <class Number>
__device__ inline void to_planes(const PointwiseParams& p) {
    __shared__ float tile[32][33];
    const int position0 = blockIdx.x * 32, channel0 = blockIdx.y * 32;
    const auto* x = static_cast<const typename Number::Raw*>(p.x[0]) + static_cast<int64>(blockIdx.z) * p.rows * p.channels;
    float* y = static_cast<float*>(p.y) + static_cast<int64>(blockIdx.z) * p.rows * p.channels;
    const int channel = channel0 + threadIdx.x, to = position0 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
        if (position0 + i < p.rows && channel < p.channels)
            tile[i][threadIdx.x] = Number::widen(x[static_cast<int64>(position0 + i) * p.channels + channel]);
    }
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8) {
        if (channel0 + i < p.channels && to < p.rows) y[static_cast<int64>(channel0 + i) * p.rows + to] = tile[threadIdx.x][i];
    }
}

// log(1 + scale |x|) of x (b, c, rows), complex: y (b, rows, c).
template <class Number>
__device__ inline void log_amplitudes(const PointwiseParams& p) {
    __shared__ float tile[32][33];
    const int position0 = blockIdx.x * 32, channel0 = blockIdx.y * 32;
    const float2* x = static_cast<const float2*>(p.x[0]) + static_cast<int64>(blockIdx.z) * p.rows * p.channels;
    auto* y = static_cast<typename Number::Raw*>(p.y) + static_cast<int64>(blockIdx.z) * p.rows * p.channels;
    const int position = position0 + threadIdx.x, channel = channel0 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
        if (channel0 + i < p.channels && position < p.rows) {
            const float2 v = x[static_cast<int64>(channel0 + i) * p.rows + position];
            tile[i][threadIdx.x] = log1pf(p.scale * sqrtf(v.x * v.x + v.y * v.y));
        }
    }
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8) {
        if (position0 + i < p.rows && channel < p.channels)
            y[static_cast<int64>(position0 + i) * p.channels + channel] = Number::narrow(tile[threadIdx.x][i]);
    }
}

// coarse (b, h2, w2, k), float32 -> y (b, k, h, w).
__device__ inline void enlarge_logits(const PointwiseParams& p) {
    const int64 position = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= p.positions) return;
    const int64 line = position / p.width, batch = line / p.height;
    const int col = static_cast<int>(position % p.width), row = static_cast<int>(line - batch * p.height);
    const int64 plane = static_cast<int64>(p.height) * p.width;
    float* y = static_cast<float*>(p.y) + batch * p.channels * plane + static_cast<int64>(row) * p.width + col;
    for (int k = 0; k < p.channels; ++k) y[k * plane] = sample<Float32, 1>(p, batch, row, col, k).v[0];
}

// x[0], x[1]: two dates (b, 3, h, w), float32; weight: mean (2, 3), bias: deviation (2, 3); y (2b, h, w, 8).
template <class Number>
__device__ inline void normalise(const PointwiseParams& p) {
    const int64 position = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= 2 * p.positions) return;
    const int date = position >= p.positions;
    const int64 own = position - date * p.positions, plane = static_cast<int64>(p.height) * p.width, batch = own / plane;
    const float* x = static_cast<const float*>(p.x[date]) + batch * 3 * plane + own % plane;
    auto v = Vector<Number, 8>::zeros();
#pragma unroll
    for (int c = 0; c < 3; ++c) v.v[c] = (x[c * plane] - p.weight[date * 3 + c]) / p.bias[date * 3 + c];
    v.store(p.y, position * 8);
}

}  // namespace geofcs
