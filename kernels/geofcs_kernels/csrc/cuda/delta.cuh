// Logits of the step sizes, z = log2(e) (dt_weight @ dt + dt_bias), for one warp's chunk and one direction.
#pragma once
#include "tile.cuh"

namespace geofcs {

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// Asynchronous copies to shared memory: many are under way without a register each. Not there: writes 0, reads nothing.
template <int BYTES>
__device__ inline void copy_async(void* to, const void* from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(BYTES),
                 "r"(there ? BYTES : 0)
                 : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

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
        copy_async<BYTES>(to + t * pitch + r, there ? row(t) + r : row(0), there);
    }
    wait_for_copies();
}

// Weights of one direction and one round of ranks into slot `slot`. All threads of the block.
template <class Number>
__device__ inline void stage_weights(const ScanParams& p, const Place& at, int slot, int k, int rank0) {
    using Raw = typename Number::Raw;
    const int pitch = weight_pitch<Number>(p), left = p.rank - rank0, there = p.channels - at.channel0;
    Raw* to = shared_weights<Number>(p, slot);
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

template <class Number>
__device__ inline void stage_all_weights(const ScanParams& p, const Place& at) {
    if (p.weight_slots == 4) {
        for (int k = 0; k < 4; ++k) stage_weights<Number>(p, at, k, k, 0);
        __syncthreads();
    }
}

// The warp's dt factors of one round, [position][rank] with `pitch`; zero beyond the map and beyond R.
template <class Number, int AXIS>
__device__ inline void stage_dt(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k, int rank0, int ranks,
                                typename Number::Raw* to, int pitch) {
    using Raw = typename Number::Raw;
    const FactorStrides& f = p.dt_strides;
    const int64 step = Chunk<AXIS>::step(f.row, f.col);
    const int left = p.rank - rank0;
    const Raw* from = static_cast<const Raw*>(p.dt);
    if (chunk.valid > 0) {
        from += at.batch * f.batch + k * f.direction + chunk.row * f.row + chunk.col * f.col + rank0 * f.channel;
    }
    if (Number::PACKED && p.dt_bytes == 16) {
        copy_rows<Raw, 16>(to, pitch, [&](int t) { return from + t * step; }, SIDE, chunk.valid, ranks, left, at.lane, LANES);
    } else if (Number::PACKED && p.dt_bytes == 4) {
        copy_rows<Raw, 4>(to, pitch, [&](int t) { return from + t * step; }, SIDE, chunk.valid, ranks, left, at.lane, LANES);
    } else {
        const int shift = 31 - __clz(ranks);
#pragma unroll 1
        for (int i = at.lane; i < SIDE << shift; i += LANES) {
            const int t = i >> shift, r = i & (ranks - 1);
            const bool there = t < chunk.valid && r < left;
            to[t * pitch + r] = there ? from[t * step + r * f.channel] : Raw(0);
        }
    }
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
                 : "r"(shared_address(row)));
}

// One round on tensor cores: sums (4 fragments of 16 positions x 8 channels) += dt @ weights^T.
template <class Number>
__device__ inline void multiply(float (&sums)[SIDE], const typename Number::Raw* dt, const typename Number::Raw* weights,
                                int pitch, int ranks, int lane) {
    const auto* a_row = dt + (lane % 16) * pitch + lane / 16 * 8;
    const auto* b_row = weights + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8;
#pragma unroll 1  // registers are needed elsewhere
    for (int r = 0; r < ranks; r += 16) {
        unsigned a[4], b[4];
        load_matrices(a, a_row + r);
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
            load_matrices(b, b_row + n * 8 * pitch + r);
            Number::multiply_add(sums + 4 * n, a, b[0], b[1]);
            Number::multiply_add(sums + 4 * n + 4, a, b[2], b[3]);
        }
    }
}

// Where a lane's part of a fragment (16 positions x 8 channels) lies among the logits.
__device__ inline void store_fragment(float* own, int lane, int channel0, const float* sums) {
    float* to = own + lane / 4 * Z_PITCH + channel0 + lane % 4 * 2;
    *reinterpret_cast<float2*>(to) = make_float2(sums[0], sums[1]);
    *reinterpret_cast<float2*>(to + 8 * Z_PITCH) = make_float2(sums[2], sums[3]);
}

// The same for ranks up to 32, with half the registers: the logits take the place of dt once dt is in registers.
template <class Number>
__device__ inline void multiply_in_place(float* own, const typename Number::Raw* weights, int pitch, int ranks, int lane) {
    using Raw = typename Number::Raw;
    const Raw* a_row = reinterpret_cast<const Raw*>(own) + (lane % 16) * pitch + lane / 16 * 8;
    const Raw* b_row = weights + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8;
    unsigned a[2][4], b[4];
    load_matrices(a[0], a_row);
    if (ranks == 32) load_matrices(a[1], a_row + 16);
    __syncwarp();
#pragma unroll 1
    for (int channel0 = 0; channel0 < LANES; channel0 += 16) {
        float sums[8] = {};
        load_matrices(b, b_row + channel0 * pitch);
        Number::multiply_add(sums, a[0], b[0], b[1]);
        Number::multiply_add(sums + 4, a[0], b[2], b[3]);
        if (ranks == 32) {
            load_matrices(b, b_row + channel0 * pitch + 16);
            Number::multiply_add(sums, a[1], b[0], b[1]);
            Number::multiply_add(sums + 4, a[1], b[2], b[3]);
        }
        store_fragment(own, lane, channel0, sums);
        store_fragment(own, lane, channel0 + 8, sums + 4);
    }
}

// z of a lane's channel at the chunk's 16 positions, in shared memory: registers are scarcer. A place can be reused.
struct Logits {
    float* first;
    float bias;
    __device__ float get(int t) const { return first[t * Z_PITCH] + bias; }
    __device__ float& slot(int t) const { return first[t * Z_PITCH]; }
};

// One round on plain arithmetic units, for float32: 16 x 32 floats of dt fit where the logits will lie.
template <class Number, int AXIS>
__device__ inline void multiply_plainly(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k, int rank0,
                                        const float* weights, float* dt, float (&sums)[SIDE]) {
    for (int part = 0; part < p.rank_padded; part += 32) {
        const int ranks = min(32, p.rank_padded - part);
        stage_dt<Number>(p, chunk, at, k, rank0 + part, ranks, dt, 32);
        __syncwarp();
#pragma unroll 1
        for (int r = 0; r < ranks; ++r) {
            const float weight = weights[at.lane * weight_pitch<Number>(p) + part + r];
#pragma unroll
            for (int t = 0; t < SIDE; ++t) sums[t] += weight * dt[t * 32 + r];
        }
        __syncwarp();
    }
}

// The logits of ranks of any number, in rounds.
template <class Number, int AXIS>
__device__ inline void multiply_in_rounds(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k, float* own) {
    using Raw = typename Number::Raw;
    const int pitch = weight_pitch<Number>(p);
    float sums[SIDE] = {};  // tensor cores: 4 fragments of 16 positions x 8 channels; else this lane's 16 positions
    for (int rank0 = 0; rank0 < p.rank; rank0 += p.rank_padded) {
        if (p.weight_slots != 4) {
            __syncthreads();
            stage_weights<Number>(p, at, 0, k, rank0);
            __syncthreads();
        }
        const Raw* weights = shared_weights<Number>(p, p.weight_slots == 4 ? k : 0);
        if constexpr (Number::PACKED) {
            Raw* dt = reinterpret_cast<Raw*>(own);
            stage_dt<Number>(p, chunk, at, k, rank0, p.rank_padded, dt, pitch);
            __syncwarp();
            multiply<Number>(sums, dt, weights, pitch, p.rank_padded, at.lane);
            __syncwarp();
        } else {
            multiply_plainly<Number>(p, chunk, at, k, rank0, weights, own, sums);
        }
    }
    if constexpr (Number::PACKED) {
#pragma unroll
        for (int n = 0; n < 4; ++n) store_fragment(own, at.lane, 8 * n, sums + 4 * n);
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) own[t * Z_PITCH + at.lane] = sums[t];
    }
}

// Minus infinity (step 0, decay 1) outside the map. Stages B and C as well. All warps of the block call it together.
template <class Number, int AXIS>
__device__ inline Logits logits(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k) {
    float* own = shared_logits(at.warp);
    __syncwarp();  // the previous direction's logits have been read
    stage_bc<Number>(p, chunk, at, k);
    if constexpr (Number::SMALL_RANK) {
        const int pitch = weight_pitch<Number>(p);
        stage_dt<Number>(p, chunk, at, k, 0, p.rank_padded, reinterpret_cast<typename Number::Raw*>(own), pitch);
        __syncwarp();
        multiply_in_place<Number>(own, shared_weights<Number>(p, k), pitch, p.rank_padded, at.lane);
    } else {
        multiply_in_rounds<Number>(p, chunk, at, k, own);
    }
    __syncwarp();
#pragma unroll 1
    for (int t = chunk.valid; t < SIDE; ++t) own[t * Z_PITCH + at.lane] = minus_infinity();
    const bool active = at.channel() < p.channels;
    return {own + at.lane, active ? LOG2_E * p.dt_bias[k * p.channels + at.channel()] : 0.0f};
}

}  // namespace geofcs
