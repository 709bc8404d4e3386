// Logits of the step sizes, z = log2(e) (dt_weight @ dt + dt_bias), for one warp's chunk and one direction.
#pragma once
#include "tile.cuh"

namespace geofcs {

// Rows of `ranks` numbers (a power of two), the first `left` of them there, by `threads` threads, BYTES at once.
template <class Raw, int BYTES, class Row>
__device__ inline void copy_rows(Raw* to, int pitch, Row row, int rows, int valid_rows, int ranks, int left, int thread,
                                 int threads) {
    constexpr int AT_ONCE = BYTES / sizeof(Raw);
    const int per_row = ranks / AT_ONCE, shift = 31 - __clz(per_row);
#pragma unroll 1
    for (int i = thread; i < rows << shift; i += threads) {
        const int t = i >> shift, r = (i & (per_row - 1)) * AT_ONCE;
        const bool there = t < valid_rows && r < left;
        copy_async<BYTES>(to + t * pitch + r, row(there ? t : 0) + (there ? r : 0), there);
    }
}

// Weights of one direction and one round of ranks into slot `slot`. All threads of the block. Ends without waiting.
template <class Number, class Memory>
__device__ inline void stage_weights(const ScanParams& p, const Place& at, int slot, int k, int rank0) {
    using Raw = typename Number::Raw;
    const int pitch = Memory::weight_pitch(p), left = p.rank - rank0, there = p.channels - at.channel0;
    Raw* to = Memory::weights(p, slot);
    const Raw* from = static_cast<const Raw*>(p.dt_weight) + (static_cast<int64>(k) * p.channels + at.channel0) * p.rank + rank0;
    if (Number::FAST || (Number::PACKED && p.weight_bytes == 16)) {
        copy_rows<Raw, 16>(to, pitch, [&](int c) { return from + c * p.rank; }, LANES, there, p.rank_padded, left,
                           threadIdx.x, THREADS);
        return;
    }
    const int shift = 31 - __clz(p.rank_padded);
#pragma unroll 4
    for (int i = threadIdx.x; i < LANES << shift; i += THREADS) {
        const int c = i >> shift, r = i & (p.rank_padded - 1);
        to[c * pitch + r] = c < there && r < left ? from[c * p.rank + r] : Raw(0);
    }
}

// What all directions of a block need. Waits for the maps staged before as well.
template <class Number, class Memory>
__device__ inline void stage_parameters(const ScanParams& p, const Place& at) {
    if (Number::FAST || p.weight_slots == 4) {
        for (int k = 0; k < 4; ++k) stage_weights<Number, Memory>(p, at, k, k, 0);
    }
    if (at.warp < 4) {
        const bool active = at.channel() < p.channels;
        const int64 from = static_cast<int64>(at.warp) * p.channels + at.channel();
        shared_bias(at.warp)[at.lane] = active ? LOG2_E * p.dt_bias[from] : 0.0f;
        shared_rate(at.warp)[at.lane] = active ? -exp2_fast(LOG2_E * p.a_log[from]) : 0.0f;
    }
    wait_for_copies();
    __syncthreads();
}

// Where a lane reads its share of a warp's factors: row lane % 16 of the chunk, direction 0, first rank.
template <class Number, int AXIS>
__device__ inline const typename Number::Raw* factor_row(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at) {
    const FactorStrides& f = p.factor_strides;
    const int t = min(at.lane % SIDE, max(chunk.valid - 1, 0));
    const int64 row = chunk.valid > 0 ? chunk.row : 0, col = chunk.valid > 0 ? chunk.col : 0;
    return static_cast<const typename Number::Raw*>(p.factors) + at.batch * f.batch + row * f.row + col * f.col +
           t * Chunk<AXIS>::step(f.row, f.col);
}

// Up to DT_PART ranks from `rank0` of the warp's factors, [position][rank], followed by B and C if they are the last;
// zero beyond the map and, as far as products reach, beyond R. Two lanes share a row.
template <class Number>
__device__ inline void stage_factors(const ScanParams& p, const typename Number::Raw* row, int valid, int lane, int rank0,
                                     typename Number::Raw* to) {
    using Raw = typename Number::Raw;
    const int left = p.rank - rank0;
    const bool last = left <= Number::DT_PART, there = lane % SIDE < valid;
    const int columns = last ? left + 2 : Number::DT_PART;
    Raw* own = to + lane % SIDE * Number::DT_PITCH;
    row += rank0 * p.factor_strides.channel;
    if (Number::PACKED && p.factor_bytes == 16) {
#pragma unroll 1
        for (int c = lane / SIDE * 8; c < columns; c += 16) copy_async<16>(own + c, row + c, there);
    } else if (Number::PACKED && p.factor_bytes == 4) {
#pragma unroll 1
        for (int c = lane / SIDE * 2; c < columns; c += 4) copy_async<4>(own + c, row + c, there);
    } else {
#pragma unroll 1
        for (int c = lane / SIDE; c < columns; c += 2) own[c] = there ? row[c * p.factor_strides.channel] : Raw(0);
    }
    if (p.zero_fill) {
#pragma unroll 1
        for (int c = columns + lane / SIDE; c < Number::DT_PART; c += 2) own[c] = Raw(0);
    }
    wait_for_copies();
    __syncwarp();
}

__device__ inline void load_matrices(unsigned (&m)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// One part on tensor cores: sums (4 fragments of 16 positions x 8 channels) += dt @ weights^T.
template <class Number>
__device__ inline void multiply(float (&sums)[SIDE], const typename Number::Raw* dt, const typename Number::Raw* weights,
                                int weight_pitch, int ranks, int lane) {
    const auto* a_row = dt + lane % 16 * Number::DT_PITCH + lane / 16 * 8;
    const auto* b_row = weights + (lane / 16 * 8 + lane % 8) * weight_pitch + lane / 8 % 2 * 8;
#pragma unroll 1  // registers are needed elsewhere
    for (int r = 0; r < ranks; r += 16) {
        unsigned a[4], b[4];
        load_matrices(a, a_row + r);
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
            load_matrices(b, b_row + n * 8 * weight_pitch + r);
            Number::multiply_add(sums + 4 * n, a, b[0], b[1]);
            Number::multiply_add(sums + 4 * n + 4, a, b[2], b[3]);
        }
    }
}

// One part on plain arithmetic units, for float32: the lane's channel at 16 positions.
template <class Number>
__device__ inline void multiply_plainly(float (&sums)[SIDE], const float* dt, const float* weights, int weight_pitch,
                                        int ranks, int lane) {
#pragma unroll 1
    for (int r = 0; r < ranks; ++r) {
        const float weight = weights[lane * weight_pitch + r];
#pragma unroll
        for (int t = 0; t < SIDE; ++t) sums[t] += weight * dt[t * Number::DT_PITCH + r];
    }
}

// z of a lane's channel at the chunk's 16 positions, in shared memory: registers are scarcer. A place can be reused.
// Channels are permuted from position to position so that neither the fragments' nor the lanes' accesses conflict.
struct Logits {
    float* own;
    int lane;
    __device__ float& at(int t) const { return own[t * LANES + (lane ^ (t % 4 * 8))]; }
};

__device__ inline void store_fragment(float* own, int lane, int channel0, const float* sums) {
    const unsigned row = static_cast<unsigned>(lane) / 4;
    float* to = own + row * LANES + lane % 4 * 2 + (channel0 ^ (row % 4 * 8));
    *reinterpret_cast<float2*>(to) = make_float2(sums[0], sums[1]);
    *reinterpret_cast<float2*>(to + 8 * LANES) = make_float2(sums[2], sums[3]);
}

// Adds the products of all ranks to `sums`, in parts that fit where the logits will lie, and leaves B and C in `own`.
template <class Number, class Memory>
__device__ inline void add_products(const ScanParams& p, const typename Number::Raw* row, int valid, const Place& at, int k,
                                    typename Number::Raw* own, float (&sums)[SIDE]) {
    using Raw = typename Number::Raw;
#pragma unroll 1
    for (int rank0 = 0; rank0 < p.rank; rank0 += Number::DT_PART) {
        const int slot_rank = rank0 & (p.rank_padded - 1), ranks = min(Number::DT_PART, (p.rank - rank0 + 15) / 16 * 16);
        if (p.weight_slots != 4 && slot_rank == 0) {
            __syncthreads();
            stage_weights<Number, Memory>(p, at, 0, k, rank0);
            wait_for_copies();
            __syncthreads();
        }
        __syncwarp();  // the previous direction's logits or part's factors have been read
        stage_factors<Number>(p, row, valid, at.lane, rank0, own);
        const Raw* weights = Memory::weights(p, p.weight_slots == 4 ? k : 0) + slot_rank;
        if constexpr (Number::PACKED) multiply<Number>(sums, own, weights, Memory::weight_pitch(p), ranks, at.lane);
        else multiply_plainly<Number>(sums, own, weights, Memory::weight_pitch(p), ranks, at.lane);
    }
}

// The same in the usual case: one part, copied 16 bytes at once.
template <class Number, class Memory>
__device__ inline void add_products_fast(const ScanParams& p, const typename Number::Raw* row, int valid, const Place& at,
                                         int k, typename Number::Raw* own, float (&sums)[SIDE]) {
    __syncwarp();
    const int first = at.lane / SIDE * 8;
    typename Number::Raw* to = own + at.lane % SIDE * Number::DT_PITCH;
#pragma unroll 1
    for (int c = first; c < p.rank + 2; c += 16) copy_async<16>(to + c, row + c, at.lane % SIDE < valid);
    wait_for_copies();
    __syncwarp();
    multiply<Number>(sums, own, Memory::weights(p, k), Memory::weight_pitch(p), p.rank_padded, at.lane);
}

// Minus infinity (step 0, decay 1) outside the map. Stages B and C as well. All warps of the block call it together.
// `row`: what `factor_row` gave for this chunk.
template <class Number, class Memory>
__device__ inline Logits logits(const ScanParams& p, const typename Number::Raw* row, int valid, const Place& at, int k) {
    using Raw = typename Number::Raw;
    float* own = shared_logits(at.warp);
    const Logits z = {own, at.lane};
    Raw* dt = reinterpret_cast<Raw*>(own);
    row += k * p.factor_strides.direction;
    float sums[SIDE];
    if constexpr (Number::PACKED) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            const float2 bias = *reinterpret_cast<const float2*>(shared_bias(k) + n * 8 + at.lane % 4 * 2);
            sums[4 * n] = sums[4 * n + 2] = bias.x, sums[4 * n + 1] = sums[4 * n + 3] = bias.y;
        }
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) sums[t] = shared_bias(k)[at.lane];
    }
    if constexpr (Number::FAST) add_products_fast<Number, Memory>(p, row, valid, at, k, dt, sums);
    else add_products<Number, Memory>(p, row, valid, at, k, dt, sums);
    const Raw* bc = dt + at.lane % SIDE * Number::DT_PITCH + (Number::FAST ? p.rank : (p.rank - 1) % Number::DT_PART + 1);
    if (at.lane < SIDE) shared_bc(at.warp)[at.lane] = make_float2(LN_2 * Number::widen(bc[0]), Number::widen(bc[1]));
    __syncwarp();
    if constexpr (Number::PACKED) {
#pragma unroll
        for (int n = 0; n < 4; ++n) store_fragment(own, at.lane, 8 * n, sums + 4 * n);
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) z.at(t) = sums[t];
    }
    __syncwarp();
    if (valid < SIDE) {
#pragma unroll 1
        for (int t = valid; t < SIDE; ++t) z.at(t) = minus_infinity();
    }
    return z;
}

}  // namespace geofcs
