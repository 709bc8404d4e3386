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
    if (Number::PACKED && p.weight_bytes == 16) {
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
    if (p.weight_slots == 4) {
        for (int k = 0; k < 4; ++k) stage_weights<Number, Memory>(p, at, k, k, 0);
    }
    if (at.warp < 4) {
        const bool active = at.channel() < p.channels;
        shared_bias(at.warp)[at.lane] = active ? LOG2_E * p.dt_bias[at.warp * p.channels + at.channel()] : 0.0f;
    }
    wait_for_copies();
    __syncthreads();
}

// The warp's dt factors of `ranks` ranks, [position][rank] with `pitch`; zero beyond the map and beyond R.
template <class Number, int AXIS>
__device__ inline void stage_dt(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k, int rank0, int ranks,
                                typename Number::Raw* to, int pitch) {
    using Raw = typename Number::Raw;
    const FactorStrides& f = p.dt_strides;
    const int64 step = Chunk<AXIS>::step(f.row, f.col);
    const int left = p.rank - rank0;
    const Raw* from = static_cast<const Raw*>(p.dt);
    if (chunk.valid > 0 && left > 0) {
        from += at.batch * f.batch + k * f.direction + chunk.row * f.row + chunk.col * f.col + rank0 * f.channel;
    }
    const auto row = [&](int t) { return from + t * step; };
    if (Number::PACKED && p.dt_bytes == 16) {
        copy_rows<Raw, 16>(to, pitch, row, SIDE, chunk.valid, ranks, left, at.lane, LANES);
    } else if (Number::PACKED && p.dt_bytes == 4) {
        copy_rows<Raw, 4>(to, pitch, row, SIDE, chunk.valid, ranks, left, at.lane, LANES);
    } else {
        const int shift = 31 - __clz(ranks);
#pragma unroll 1
        for (int i = at.lane; i < SIDE << shift; i += LANES) {
            const int t = i >> shift, r = i & (ranks - 1);
            const bool there = t < chunk.valid && r < left;
            to[t * pitch + r] = there ? from[t * step + r * f.channel] : Raw(0);
        }
    }
    wait_for_copies();
    __syncwarp();
}

template <class Number, int AXIS>
__device__ inline void stage_bc(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k) {
    using Raw = typename Number::Raw;
    if (at.lane < SIDE) {
        const FactorStrides& f = p.bc_strides;
        float2 bc = make_float2(0.0f, 0.0f);
        if (at.lane < chunk.valid) {
            const Raw* from = static_cast<const Raw*>(p.bc) + at.batch * f.batch + k * f.direction + chunk.row * f.row +
                              chunk.col * f.col + at.lane * Chunk<AXIS>::step(f.row, f.col);
            bc = make_float2(LN_2 * Number::widen(from[0]), Number::widen(from[f.channel]));
        }
        shared_bc(at.warp)[at.lane] = bc;
    }
}

__device__ inline void load_matrices(unsigned (&m)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// One part on tensor cores: sums (4 fragments of 16 positions x 8 channels) += dt @ weights^T.
template <class Number>
__device__ inline void multiply(float (&sums)[SIDE], const typename Number::Raw* dt, int dt_pitch,
                                const typename Number::Raw* weights, int weight_pitch, int ranks, int lane) {
    const auto* a_row = dt + (lane % 16) * dt_pitch + lane / 16 * 8;
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
    __syncwarp();
}

// One part on plain arithmetic units, for float32: the lane's channel at 16 positions.
template <class Number>
__device__ inline void multiply_plainly(float (&sums)[SIDE], const float* dt, const float* weights, int weight_pitch,
                                        int ranks, int lane) {
#pragma unroll 1
    for (int r = 0; r < ranks; ++r) {
        const float weight = weights[lane * weight_pitch + r];
#pragma unroll
        for (int t = 0; t < SIDE; ++t) sums[t] += weight * dt[t * DT_PART + r];
    }
    __syncwarp();
}

// z of a lane's channel at the chunk's 16 positions, in shared memory: registers are scarcer. A place can be reused.
// Channels are permuted from position to position so that neither the fragments' nor the lanes' accesses conflict.
struct Logits {
    float* own;
    int lane;
    __device__ float& at(int t) const { return own[t * LANES + (lane ^ (t % 4 * 8))]; }
};

__device__ inline void store_fragment(float* own, int lane, int channel0, const float* sums) {
    const int row = lane / 4, channel = channel0 + lane % 4 * 2;
    float* to = own + row * LANES + (channel ^ (row % 4 * 8));
    *reinterpret_cast<float2*>(to) = make_float2(sums[0], sums[1]);
    *reinterpret_cast<float2*>(to + 8 * LANES) = make_float2(sums[2], sums[3]);
}

// Minus infinity (step 0, decay 1) outside the map. Stages B and C as well. All warps of the block call it together.
template <class Number, class Memory, int AXIS>
__device__ inline Logits logits(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k) {
    using Raw = typename Number::Raw;
    constexpr int DT_PITCH = Number::PACKED ? DT_PART + 8 : DT_PART;
    float* own = shared_logits(at.warp);
    const Logits z = {own, at.lane};
    Raw* dt = reinterpret_cast<Raw*>(own);
    const float* bias = shared_bias(k);
    float sums[SIDE];
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        sums[i] = Number::PACKED ? bias[i / 4 * 8 + at.lane % 4 * 2 + i % 2] : bias[at.lane];
    }
    __syncwarp();  // the previous direction's logits have been read
    stage_bc<Number>(p, chunk, at, k);
    for (int rank0 = 0; rank0 < p.rank; rank0 += p.rank_padded) {
        if (p.weight_slots != 4) {
            __syncthreads();
            stage_weights<Number, Memory>(p, at, 0, k, rank0);
            wait_for_copies();
            __syncthreads();
        }
        const Raw* weights = Memory::weights(p, p.weight_slots == 4 ? k : 0);
        for (int part = 0; part < p.rank_padded; part += DT_PART) {
            const int ranks = min(DT_PART, p.rank_padded);
            stage_dt<Number>(p, chunk, at, k, rank0 + part, ranks, dt, DT_PITCH);
            if constexpr (Number::PACKED) {
                multiply<Number>(sums, dt, DT_PITCH, weights + part, Memory::weight_pitch(p), ranks, at.lane);
            } else {
                multiply_plainly<Number>(sums, dt, weights + part, Memory::weight_pitch(p), ranks, at.lane);
            }
        }
    }
    if constexpr (Number::PACKED) {
#pragma unroll
        for (int n = 0; n < 4; ++n) store_fragment(own, at.lane, 8 * n, sums + 4 * n);
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) z.at(t) = sums[t];
    }
    __syncwarp();
#pragma unroll 1
    for (int t = chunk.valid; t < SIDE; ++t) z.at(t) = minus_infinity();
    return z;
}

// A = -exp(a_log) of the lane's channel.
__device__ inline float decay_rate(const ScanParams& p, const Place& at, int k) {
    return at.channel() < p.channels ? -exp2_fast(LOG2_E * p.a_log[k * p.channels + at.channel()]) : 0.0f;
}

}  // namespace geofcs
