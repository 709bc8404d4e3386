// The usual case: 16-bit numbers, channels-last maps, R a multiple of 8, aligned factors, compute capability 9.0 or later.
// Geometry, shared memory, logits.
//
// A block of 8 warps looks at a tile of 16 x 16 positions and 32 channels. A lane has two neighbouring channels and one
// line of the tile (a row for directions 0 and 2, a column for 1 and 3): 16 consecutive positions, walked on its own.
// That is what the accumulators of a product weights (channels) x factors (positions) hold if the 8 columns of product n
// are positions 2n and 2n + 1 of 4 lines. So logits pass from tensor cores to the walk in registers.
#pragma once
#include "bulk.cuh"
#include "carry.cuh"

namespace geofcs::usual {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * LANES;
constexpr int PAIRS = LANES / 2;    // pairs of channels of a block
constexpr int HELD = 2 * SIDE;      // numbers of a lane: [n][channel][e] for position 2n + e, as accumulators lie

__device__ constexpr int held(int t, int channel) { return t / 2 * 4 + channel * 2 + t % 2; }

// Everything a launch needs, passed by value. `layout.py` mirrors it field by field.
struct UsualParams {
    TensorMap x, grad_y, result;           // boxes of a tile and 32 channels
    TensorMap dt[2], bc[2];                // of a tile and a direction, line by line of axis 0 and 1; B, C and zeros
    const unsigned* records;               // parameters, see `prepare`
    float *gain, *state, *adjoint;         // as in ScanParams
    void* grad_z;                          // likewise
    float* grad_bc;                        // (ceil(D / 32) * 2, 4, b, H, W, 2), of 16 channels each
    float* channel_sums;                   // (b * tiles * 4, 9, D), of 4 lines each
    int batch, channels, height, width, rank;
    int tile_rows, tile_cols, chunks;
};

// Where a lane is. `pair` counts within the block, `line` within the tile.
struct Spot {
    int batch, tile_row, tile_col, channel0;
    int warp_lines;  // first line of the warp's four
    int g, q;        // row of an accumulator fragment: channels 2g, 2g + 1 of the warp; column: line of the warp
    int pair;
    // Tiles first: the tiles of a map are neighbours, a cluster. Channels first: blocks that share factors are.
    __device__ Spot(const UsualParams& p, bool tiles_first) : batch(blockIdx.y) {
        const unsigned groups = (p.channels + LANES - 1) / LANES, tiles = p.tile_rows * p.tile_cols, index = blockIdx.x;
        const unsigned inner = tiles_first ? tiles : groups, outer = index / inner, rest = index - outer * inner;
        const unsigned tile = tiles_first ? rest : outer, group = tiles_first ? outer : rest, warp = threadIdx.x / LANES;
        tile_row = tile / p.tile_cols, tile_col = tile - tile_row * p.tile_cols, channel0 = group * LANES;
        warp_lines = warp / 2 * 4, g = threadIdx.x % LANES / 4, q = threadIdx.x % 4, pair = warp % 2 * 8 + g;
    }
    __device__ int line() const { return warp_lines + q; }
    __device__ int channel() const { return channel0 + 2 * pair; }
    __device__ int slot() const { return line() * PAIRS + pair; }  // one for each thread of the block
};

// One axis of the tile: 0 walks rows, 1 columns.
struct Lines {
    int axis, across, along;  // across: lines of the tile inside the map; along: positions of a line inside the map
    __device__ Lines(const UsualParams& p, const Spot& at, int axis) : axis(axis) {
        const int rows = min(p.height - at.tile_row * SIDE, SIDE), cols = min(p.width - at.tile_col * SIDE, SIDE);
        across = axis == 0 ? rows : cols, along = axis == 0 ? cols : rows;
    }
    // Of a line among the chunks of the map, in forward order.
    __device__ int64 chunk(const UsualParams& p, const Spot& at, int line) const {
        return axis == 0 ? static_cast<int64>(at.tile_row * SIDE + line) * p.tile_cols + at.tile_col
                         : static_cast<int64>(at.tile_col * SIDE + line) * p.tile_rows + at.tile_row;
    }
};

// Shared memory: barriers; B and C of a warp's four lines, a bank apart from line to line; tiles of maps; what the column
// directions leave to the row directions; links; factors and parameters of one direction. `layout.py` computes the size.
constexpr int BARRIERS_BYTES = 128;
constexpr int BC_PITCH = SIDE + 2;                                // float2 from line to line
constexpr int BC_AT = BARRIERS_BYTES, BC_BYTES = WARPS * 4 * BC_PITCH * 8;
constexpr int MAP_BYTES = SIDE * SIDE * LANES * 2;
constexpr int EXCHANGE_BYTES = SIDE * SIDE * LANES * 4;
constexpr int MAPS_AT = (BC_AT + BC_BYTES + 127) / 128 * 128;     // bulk copies want multiples of 128 bytes
enum Barrier { MAPS_CAME, FACTORS_CAME, LINKS_CAME, TOTALS_CAME = LINKS_CAME + 4 };  // the last two: of 4 directions
__device__ inline unsigned barrier(int which) { return shared_address(shared_at(which * 8)); }
__device__ inline float2* shared_bc(int warp) { return reinterpret_cast<float2*>(shared_at(BC_AT)) + warp * 4 * BC_PITCH; }

// The lane's line of a tile: a word with both channels for each position. Lies where `own_word` says.
__device__ inline int own_word(const Spot& at, int row, int col) { return (row * SIDE + col) * LANES * 2 + at.pair * 4; }
__device__ inline void read_line(unsigned (&words)[SIDE], const Spot& at, int axis, int offset) {
    const char* from = shared_at(offset + (axis == 0 ? own_word(at, at.line(), 0) : own_word(at, 0, at.line())));
    if (axis == 0) {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) words[t] = *reinterpret_cast<const unsigned*>(from + t * LANES * 2);
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) words[t] = *reinterpret_cast<const unsigned*>(from + t * SIDE * LANES * 2);
    }
}

// What the column directions leave to the row directions, of a position and a pair of channels. Neighbouring rows and
// columns lie in different quarters of the banks.
__device__ inline float2& exchanged(const Spot& at, int row, int col, int offset) {
    const int quarter = at.pair / 4 ^ ((row ^ col) & 3);
    return *reinterpret_cast<float2*>(shared_at(offset + (row * SIDE + col) * 128 + quarter * 32 + at.pair % 4 * 8));
}

// What the directions need of the parameters, laid out for the lanes by `prepare`: a record of R + 12 words for each
// direction and pair of channels. R words of weights, two ranks of the one channel, the same of the other, and so on; the
// bias as three 16-bit numbers that add up to it (one word with two and one with the last, of either channel); both
// rates A; both skips summed over the directions.
constexpr int RECORD_BIAS = 0, RECORD_RATE = 4, RECORD_SKIP = 6, RECORD_REST = 12;  // words behind the weights, 4 of them so that lanes meet few bank conflicts
struct Parameters {  // of `prepare`
    const float *dt_weight, *dt_bias, *a_log, *skip;
    unsigned* records;
    int pairs, rank;
};

template <class Number>
__device__ inline void prepare(const Parameters& p, int index) {
    const int words = p.rank / 2, r = index % words, record = index / words, k = record / p.pairs, pair = record % p.pairs;
    if (k >= 4) return;
    unsigned* to = p.records + static_cast<int64>(record) * (p.rank + RECORD_REST);
    const int channels = 2 * p.pairs, first = k * channels + 2 * pair;
    for (int c = 0; c < 2; ++c) {
        const float* weights = p.dt_weight + static_cast<int64>(first + c) * p.rank + 2 * r;
        to[2 * r + c] = Number::narrow_pair(LOG2_E * weights[0], LOG2_E * weights[1]);
        if (r > 0) continue;
        float part[3], left = LOG2_E * p.dt_bias[first + c];
        for (int i = 0; i < 3; ++i) {
            part[i] = Number::widen(Number::narrow(left));
            left -= part[i];
        }
        unsigned* rest = to + p.rank;
        rest[RECORD_BIAS + c] = Number::narrow_pair(part[0], part[1]);
        rest[RECORD_BIAS + 2 + c] = Number::narrow_pair(part[2], 0.0f);
        rest[RECORD_RATE + c] = __float_as_uint(-exp2_fast(LOG2_E * p.a_log[first + c]));
        float skip = 0.0f;
        for (int direction = 0; direction < 4; ++direction) skip += p.skip[direction * channels + 2 * pair + c];
        rest[RECORD_SKIP + c] = __float_as_uint(skip);
    }
}

// Factors and parameters of one direction in shared memory: dt, [line][position][R]; B and C, [line][position][8]; records.
__device__ inline char* shared_positions(const UsualParams& p, int offset) { return shared_at(offset) + SIDE * SIDE * 2 * p.rank; }
__device__ inline char* shared_records(const UsualParams& p, int offset) { return shared_positions(p, offset) + SIDE * SIDE * 16; }

// Lets them come. One thread calls it.
__device__ inline void fetch_direction(const UsualParams& p, const Spot& at, int k, int offset) {
    const int pairs = min(PAIRS, p.channels / 2 - at.channel0 / 2), record = (p.rank + RECORD_REST) * 4, axis = k % 2;
    const int row = at.tile_row * SIDE, col = at.tile_col * SIDE, inner = axis ? row : col, outer = axis ? col : row;
    expect_bytes(barrier(FACTORS_CAME), SIDE * SIDE * (2 * p.rank + 16) + pairs * record);
    fetch_factors(shared_at(offset), p.dt[axis], k, inner, outer, at.batch, barrier(FACTORS_CAME));
    fetch_factors(shared_positions(p, offset), p.bc[axis], k, inner, outer, at.batch, barrier(FACTORS_CAME));
    fetch_bytes(shared_records(p, offset), p.records + (k * (p.channels / 2) + at.channel0 / 2) * static_cast<int64>(record / 4),
                pairs * record, barrier(FACTORS_CAME));
}

template <int WORDS>
__device__ inline void read_words(unsigned (&w)[WORDS], const char* from) {
    if constexpr (WORDS == 1) {
        w[0] = *reinterpret_cast<const unsigned*>(from);
    } else if constexpr (WORDS == 2) {
        const uint2 v = *reinterpret_cast<const uint2*>(from);
        w[0] = v.x, w[1] = v.y;
    } else {
        const uint4 v = *reinterpret_cast<const uint4*>(from);
        w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    }
}

// z += weights x factors over RANKS ranks, 8, 16 or 32. A lane loads a quarter of them in one piece, of a column (at
// `column`, the next one `step` bytes further) and of both rows of the weights. Which rank is which index of the product
// does not matter as long as both sides agree.
template <class Number, int RANKS>
__device__ inline void add_ranks(float (&z)[HELD], const char* column, int step, const char* weights, int rank0, int q) {
    column += rank0 * 2 + q * (RANKS / 2);
    weights += rank0 * 4 + q * RANKS;
    unsigned a[RANKS == 32 ? 2 : 1][RANKS == 8 ? 2 : 4];
    read_words(a[0], weights);
    if constexpr (RANKS == 32) read_words(a[1], weights + 16);
#pragma unroll
    for (int n = 0; n < SIDE / 2; ++n, column += step) {
        unsigned b[RANKS / 8];
        read_words(b, column);
        if constexpr (RANKS == 8) {
            Number::multiply_add_8(z + n * 4, a[0][0], a[0][1], b[0]);
        } else {
            Number::multiply_add(z + n * 4, a[0], b[0], b[1]);
            if constexpr (RANKS == 32) Number::multiply_add(z + n * 4, a[1], b[2], b[3]);
        }
    }
}

// z = log2(e) (dt_weight @ dt + dt_bias) of the lane's positions, minus infinity (step 0, decay 1) outside the map, and
// the warp's B ln 2 and C in shared memory. Returns the rates A of both channels.
template <class Number>
__device__ inline float2 logits(const UsualParams& p, const Spot& at, const Lines& lines, int offset, float (&z)[HELD]) {
    const int pair = min(at.pair, (p.channels - at.channel0) / 2 - 1);  // those beyond have no record
    const char* record = shared_records(p, offset) + pair * (p.rank + RECORD_REST) * 4;
    const int lane = threadIdx.x % LANES;
    const char* positions = shared_positions(p, offset) + (at.warp_lines * SIDE + lane) * 16;
    float2* bc = shared_bc(threadIdx.x / LANES) + lane / SIDE * BC_PITCH + lane % SIDE;
    __syncwarp();  // the previous direction's B and C have been read
#pragma unroll
    for (int i = 0; i < 2; ++i) {  // two of the warp's lines at once
        const unsigned both = *reinterpret_cast<const unsigned*>(positions + i * LANES * 16);
        bc[i * 2 * BC_PITCH] = make_float2(LN_2 * Number::widen_low(both), Number::widen_high(both));
    }
    // The bias: ones times its parts.
    const char* rest = record + p.rank * 4;
    const uint2 bias = *reinterpret_cast<const uint2*>(rest + (RECORD_BIAS + at.q % 2 * 2) * 4);
    const unsigned ones = at.q == 0 ? Number::narrow_pair(1.0f, 1.0f) : at.q == 1 ? Number::narrow_pair(1.0f, 0.0f) : 0;
#pragma unroll
    for (int n = 0; n < SIDE / 2; ++n) {
        z[4 * n] = z[4 * n + 1] = z[4 * n + 2] = z[4 * n + 3] = 0.0f;
        Number::multiply_add_8(z + 4 * n, bias.x, bias.y, ones);
    }
    const int step = 4 * p.rank;  // two positions
    const char* column = shared_at(offset) + ((at.warp_lines + at.g / 2) * SIDE + at.g % 2) * 2 * p.rank;
    int done = 0;
#pragma unroll 1
    for (; done + 32 <= p.rank; done += 32) add_ranks<Number, 32>(z, column, step, record, done, at.q);
    if (p.rank & 16) {
        add_ranks<Number, 16>(z, column, step, record, done, at.q);
        done += 16;
    }
    if (p.rank & 8) add_ranks<Number, 8>(z, column, step, record, done, at.q);
    const float2 rate = *reinterpret_cast<const float2*>(rest + RECORD_RATE * 4);
    if (lines.along < SIDE || lines.across < SIDE) {
        const int valid = at.line() < lines.across ? lines.along : 0;
#pragma unroll
        for (int t = 0; t < SIDE; ++t) {
            if (t >= valid) z[held(t, 0)] = z[held(t, 1)] = minus_infinity();
        }
    }
    __syncwarp();
    return rate;
}

// log2(1 + 2^z), to 6e-5 of its value: one special function instead of two, the rest a polynomial (minimax, for 2^-|z|).
__device__ inline float softplus2(float z) {
    const float w = exp2_fast(-fabsf(z));
    const float series = 1.4426132757781238f + w * (-0.7169883858146854f + w * (0.4419026455473893f +
                         w * (-0.22712499139785577f + w * 0.05965421779297942f)));
    return w * series + fmaxf(z, 0.0f);
}

}  // namespace geofcs::usual
