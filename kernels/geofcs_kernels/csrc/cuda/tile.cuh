// The geometry that all kernels share: a block of 16 warps looks at a tile of 16 x 16 positions and 32 channels.
//
// A lane is a channel; a warp is one row of the tile (directions 0 and 2) or one column (1 and 3): a *chunk* of 16
// consecutive positions of a sequence, walked by each lane on its own. So the recurrence needs no shuffles, loads of
// channels-last maps coalesce, and B and C are the same for the whole warp.
#pragma once
#include "numbers.cuh"

namespace geofcs {

constexpr int SIDE = 16;      // positions of a chunk, and chunks of a tile per axis
constexpr int LANES = 32;     // channels of a block
constexpr int THREADS = SIDE * LANES;
constexpr int CHANNEL_SUMS = 9;  // per channel: d dt_bias of 4 directions, d a_log of 4, d skip

struct MapStrides {
    int64 batch, channel, row, col;
};
struct FactorStrides {
    int64 batch, direction, channel, row, col;
};

// Everything a launch needs, passed by value. `layout.py` mirrors it field by field.
struct ScanParams {
    const void* x;
    const void* factors;     // (b, 4, R + 2, H, W): dt, B, C
    const void* dt_weight;   // (4, D, R), times log2(e), in x's type
    const float* dt_bias;    // (4, D)
    const float* a_log;      // (4, D)
    const float* skip;       // (4, D)
    void* y;
    const void* grad_y;
    void* grad_x;
    void* grad_z;            // (4, b, H, W, D), gradient of the logits before softplus, in x's type
    float* grad_bc;          // (ceil(D / 32), b, H, W, 4, 2)
    float* channel_sums;     // (b * tiles, 9, D)
    float* gain;             // (b, 4, chunks, D): product of the decays of a chunk
    float* state;            // same shape: what a chunk leaves behind, then what enters it
    float* adjoint;          // same for the recurrence of the gradients, which runs the other way
    MapStrides x_strides, y_strides, grad_y_strides, grad_x_strides;
    FactorStrides factor_strides;
    int batch, channels, height, width, rank;
    int tile_rows, tile_cols;
    int chunks;              // of the axis that has more: max(H * tile_cols, W * tile_rows)
    int rank_padded;         // of one round: 16, 32 or 64; larger R take several
    int weight_slots;        // 4: the weights of all directions fit into shared memory; 1: one after the other
    int zero_fill;           // staged factors do not reach as far as products do: zeros must follow
    int factor_bytes;        // that may be copied at once: 16 or 4, where R and alignment allow; 0: one number at a time
    int weight_bytes;        // likewise for dt_weight: 16 or 0
    int x_bytes, grad_y_bytes;  // likewise for the channels of a position: 16 or 0
};

// Where this block and this warp are.
struct Place {
    int batch, tile_row, tile_col, channel0, warp, lane;
    __device__ int channel() const { return channel0 + lane; }
};

// Blocks count tiles and groups of channels along x, batch elements along y.
__device__ inline Place place_of(const ScanParams& p, bool tiles_first) {
    const unsigned groups = (p.channels + LANES - 1) / LANES, tiles = p.tile_rows * p.tile_cols, index = blockIdx.x;
    // Tiles first: the tiles of a map are neighbours, a cluster. Channels first: the channels of a tile are, and share
    // factors and sectors of x in the L2 cache.
    const unsigned inner = tiles_first ? tiles : groups, outer = index / inner, rest = index - outer * inner;
    const unsigned tile = tiles_first ? rest : outer, group = tiles_first ? outer : rest, tile_row = tile / p.tile_cols;
    return {static_cast<int>(blockIdx.y), static_cast<int>(tile_row), static_cast<int>(tile - tile_row * p.tile_cols),
            static_cast<int>(group * LANES), static_cast<int>(threadIdx.x / LANES), static_cast<int>(threadIdx.x % LANES)};
}

// One warp's chunk on one axis: AXIS 0 is a row of the tile, 1 a column.
template <int AXIS>
struct Chunk {
    int row, col;   // of the first position
    int valid;      // positions inside the map, 0 to 16
    int64 index;    // of the chunk in forward order of that axis

    __device__ Chunk(const ScanParams& p, const Place& at) {
        row = at.tile_row * SIDE + (AXIS == 0 ? at.warp : 0);
        col = at.tile_col * SIDE + (AXIS == 0 ? 0 : at.warp);
        const int along = AXIS == 0 ? p.width - col : p.height - row;
        const bool inside = row < p.height && col < p.width;
        valid = inside ? min(along, SIDE) : 0;
        index = AXIS == 0 ? static_cast<int64>(row) * p.tile_cols + at.tile_col
                          : static_cast<int64>(col) * p.tile_rows + at.tile_row;
    }
    __device__ static int64 step(int64 row_stride, int64 col_stride) { return AXIS == 0 ? col_stride : row_stride; }
    __device__ int64 origin(const MapStrides& s, const Place& at) const {
        return at.batch * s.batch + at.channel() * s.channel + row * s.row + col * s.col;
    }
};

// A lane's 16 values of one map along a chunk, in registers; zero outside the map.
template <class Number>
struct Values {
    using Raw = typename Number::Raw;
    static constexpr int WORDS = Number::PACKED ? SIDE / 2 : SIDE;
    unsigned words[WORDS];

    template <int AXIS>
    __device__ void load(const void* base, const MapStrides& s, const Chunk<AXIS>& chunk, const Place& at, bool active) {
        const Raw* next = static_cast<const Raw*>(base) + (active && chunk.valid > 0 ? chunk.origin(s, at) : 0);
        const int64 step = Chunk<AXIS>::step(s.row, s.col);
        const int count = active ? chunk.valid : 0;
#pragma unroll
        for (int w = 0; w < WORDS; ++w) {
            if constexpr (Number::PACKED) {
                const unsigned low = 2 * w < count ? *next : 0;
                next += step;
                const unsigned high = 2 * w + 1 < count ? *next : 0;
                next += step;
                words[w] = low | high << 16;
            } else {
                words[w] = w < count ? __float_as_uint(*next) : 0u;
                next += step;
            }
        }
    }
    __device__ float get(int t) const {
        if constexpr (Number::PACKED) {
            return t % 2 ? Number::widen_high(words[t / 2]) : Number::widen_low(words[t / 2]);
        } else {
            return __uint_as_float(words[t]);
        }
    }
};

template <class Number, int AXIS>
__device__ inline void store_values(void* base, const MapStrides& s, const Chunk<AXIS>& chunk, const Place& at,
                                    const float (&values)[SIDE]) {
    using Raw = typename Number::Raw;
    Raw* first = static_cast<Raw*>(base) + chunk.origin(s, at);
    const int64 step = Chunk<AXIS>::step(s.row, s.col);
#pragma unroll
    for (int t = 0; t < SIDE; ++t) {
        if (t < chunk.valid) *first = Number::narrow(values[t]);
        first += step;
    }
}

// Offset of a chunk's summary in (b, 4, chunks, D).
__device__ inline int64 summary_offset(const ScanParams& p, const Place& at, int k, int64 chunk) {
    return ((static_cast<int64>(at.batch) * 4 + k) * p.chunks + chunk) * p.channels + at.channel();
}

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// Asynchronous copies to shared memory: many are under way without a register each. Not there: writes 0, reads nothing.
template <int BYTES>
__device__ inline void copy_async(void* to, const void* from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(BYTES),
                 "r"(there ? BYTES : 0)
                 : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Shared memory, in this order; `layout.py` computes the same size. Constant addresses cost no registers.
extern __shared__ float4 pool[];
constexpr int WARP_LOGITS = SIDE * LANES;             // floats: 16 positions x 32 channels; before them the dt factors
constexpr int BC_AT = SIDE * WARP_LOGITS * 4;         // per warp 16 x (B ln 2, C)
constexpr int BIAS_AT = BC_AT + SIDE * SIDE * 8;      // 4 directions x 32 channels of dt_bias, times log2(e)
constexpr int RATE_AT = BIAS_AT + 4 * LANES * 4;      // 4 directions x 32 channels of A = -exp(a_log)
constexpr int TILES_AT = RATE_AT + 4 * LANES * 4;     // one map's or two maps' values of the tile, 16-bit types only
constexpr int TILE_BYTES = SIDE * SIDE * LANES * 2;

__device__ inline char* shared_at(int offset) { return reinterpret_cast<char*>(pool) + offset; }
__device__ inline float* shared_logits(int warp) { return reinterpret_cast<float*>(pool) + warp * WARP_LOGITS; }
__device__ inline float2* shared_bc(int warp) { return reinterpret_cast<float2*>(shared_at(BC_AT)) + warp * SIDE; }
__device__ inline float* shared_bias(int k) { return reinterpret_cast<float*>(shared_at(BIAS_AT)) + k * LANES; }

__device__ inline float* shared_rate(int k) { return reinterpret_cast<float*>(shared_at(RATE_AT)) + k * LANES; }

// What a kernel keeps beside that: MAPS staged maps, an exchange of 16 x 16 x 32 floats or not, then the weights.
template <class Number, int MAPS, bool EXCHANGE>
struct Shared {
    using Raw = typename Number::Raw;
    static constexpr int STAGED = Number::PACKED ? MAPS : 0;
    static constexpr int EXCHANGE_AT = TILES_AT + STAGED * TILE_BYTES;
    static constexpr int WEIGHTS_AT = EXCHANGE_AT + (EXCHANGE ? SIDE * THREADS * 4 : 0);
    static __device__ Raw* tile(int map) { return reinterpret_cast<Raw*>(shared_at(TILES_AT + map * TILE_BYTES)); }
    // Of a position of the tile: what the column directions leave to the row directions.
    static __device__ float& exchange(int row, int col, int lane) {
        return reinterpret_cast<float*>(shared_at(EXCHANGE_AT))[(row * SIDE + col) * LANES + lane];
    }
    static __device__ int weight_pitch(const ScanParams& p) { return p.rank_padded + (Number::PACKED ? 8 : 1); }
    static __device__ Raw* weights(const ScanParams& p, int slot) {
        return reinterpret_cast<Raw*>(shared_at(WEIGHTS_AT)) + slot * LANES * weight_pitch(p);
    }
    static __device__ char* rest(const ScanParams& p) { return reinterpret_cast<char*>(weights(p, p.weight_slots)); }
};

// Copies the tile's values of a map to shared memory, [row][col][channel]; zero outside the map. Ends without waiting.
template <class Number>
__device__ inline void stage_map(const ScanParams& p, const Place& at, const void* map, const MapStrides& s, int bytes,
                                 typename Number::Raw* to) {
    using Raw = typename Number::Raw;
    const int row0 = at.tile_row * SIDE, col0 = at.tile_col * SIDE;
    const Raw* from = static_cast<const Raw*>(map) + at.batch * s.batch + at.channel0 * s.channel + row0 * s.row + col0 * s.col;
    if (Number::FAST || bytes == 16) {
        constexpr int AT_ONCE = 16 / sizeof(Raw), PER_POSITION = LANES / AT_ONCE;
#pragma unroll 1
        for (unsigned i = threadIdx.x; i < SIDE * SIDE * PER_POSITION; i += THREADS) {
            const int channel = i % PER_POSITION * AT_ONCE, col = i / PER_POSITION % SIDE, row = i / PER_POSITION / SIDE;
            const bool there = row0 + row < p.height && col0 + col < p.width && at.channel0 + channel < p.channels;
            copy_async<16>(to + i * AT_ONCE, there ? from + row * s.row + col * s.col + channel : from, there);
        }
        return;
    }
    const bool rows_first = s.col == 1;  // channels-first: neighbouring threads read neighbouring columns
#pragma unroll 4
    for (int i = threadIdx.x; i < SIDE * SIDE * LANES; i += THREADS) {
        const int channel = rows_first ? i / (SIDE * SIDE) : i % LANES, position = rows_first ? i % (SIDE * SIDE) : i / LANES;
        const int col = position % SIDE, row = position / SIDE;
        const bool there = row0 + row < p.height && col0 + col < p.width && at.channel0 + channel < p.channels;
        to[position * LANES + channel] = there ? from[row * s.row + col * s.col + channel * s.channel] : Raw(0);
    }
}

// A lane's 16 values along a chunk, from a staged tile.
template <class Number>
struct StagedValues {
    const typename Number::Raw* first;
    int step;
    template <int AXIS>
    __device__ StagedValues(const typename Number::Raw* tile, const Chunk<AXIS>&, const Place& at)
        : first(tile + at.warp * (AXIS == 0 ? SIDE * LANES : LANES) + at.lane), step(AXIS == 0 ? LANES : SIDE * LANES) {}
    __device__ float get(int t) const { return Number::widen(first[t * step]); }
};

// The one or the other: 16-bit maps are staged, float32 ones read from memory, where a warp's load is wide enough.
template <class Number, class Memory, int MAP, int AXIS>
__device__ inline auto values_of(const void* map, const MapStrides& s, const Chunk<AXIS>& chunk, const Place& at, bool active) {
    if constexpr (Number::PACKED) {
        return StagedValues<Number>(Memory::tile(MAP), chunk, at);
    } else {
        Values<Number> values;
        values.load(map, s, chunk, at, active);
        return values;
    }
}

// Loads and stores stay on their side: without it the compiler hoists a whole chunk's loads and runs out of registers.
__device__ inline void keep_order(int t) {
    if (t % 4 == 3) asm volatile("" ::: "memory");
}

}  // namespace geofcs
