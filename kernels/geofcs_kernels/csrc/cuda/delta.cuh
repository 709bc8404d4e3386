// Logits of the step sizes, z = log2(e) (dt_weight @ dt + dt_bias), for one warp's chunk and one direction.
#pragma once
#include "tile.cuh"

namespace geofcs {

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// Weights of one direction and one round of ranks, times log2(e), into slot `slot`. All threads of the block.
template <class Number>
__device__ inline void stage_weights(const ScanParams& p, const Shared& s, const Place& at, int slot, int k, int rank0) {
    using Raw = typename Number::Raw;
    const int pitch = weight_pitch<Number>(p.rank_padded);
    Raw* to = static_cast<Raw*>(s.weights) + slot * LANES * pitch;
#pragma unroll 4
    for (int i = threadIdx.x; i < LANES * p.rank_padded; i += THREADS) {
        const int channel = i / p.rank_padded, r = i % p.rank_padded;
        const bool there = at.channel0 + channel < p.channels && rank0 + r < p.rank;
        const int64 from = (static_cast<int64>(k) * p.channels + at.channel0 + channel) * p.rank + rank0 + r;
        to[channel * pitch + r] = Number::narrow(there ? LOG2_E * p.dt_weight[from] : 0.0f);
    }
}

template <class Number>
__device__ inline void stage_all_weights(const ScanParams& p, const Shared& s, const Place& at) {
    if (p.weight_slots == 4) {
        for (int k = 0; k < 4; ++k) stage_weights<Number>(p, s, at, k, k, 0);
        __syncthreads();
    }
}

// The warp's dt factors of one round, [position][rank] with `pitch`; zero beyond the map and beyond R.
template <class Number, int AXIS>
__device__ inline void stage_dt(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at, int k, int rank0, int ranks,
                                typename Number::Raw* to, int pitch) {
    using Raw = typename Number::Raw;
    const FactorStrides& f = p.dt_strides;
    const Raw* from = static_cast<const Raw*>(p.dt) + at.batch * f.batch + k * f.direction + chunk.row * f.row +
                      chunk.col * f.col + rank0 * f.channel;
    const int64 step = Chunk<AXIS>::step(f.row, f.col);
    const int left = p.rank - rank0;
    if (Number::PACKED && p.pairs) {
        const int pairs = ranks / 2, shift = 31 - __clz(pairs);  // a power of two
#pragma unroll 1
        for (int i = at.lane; i < SIDE * pairs; i += LANES) {
            const int t = i >> shift, r = (i & (pairs - 1)) * 2;
            const bool there = t < chunk.valid && r < left;
            // Asynchronous, so that many are under way without a register each; reads nothing and writes 0 if not there.
            asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to + t * pitch + r)),
                         "l"(there ? from + t * step + r : from), "r"(there ? 4 : 0)
                         : "memory");
        }
        asm volatile("cp.async.wait_all;" ::: "memory");
    } else {
#pragma unroll 1
        for (int i = at.lane; i < SIDE * ranks; i += LANES) {
            const int t = i / ranks, r = i % ranks;
            const bool there = t < chunk.valid && r < left;
            to[t * pitch + r] = there ? from[t * step + r * f.channel] : Raw(0);
        }
    }
}

template <class Number, int AXIS>
__device__ inline void stage_bc(const ScanParams& p, const Shared& s, const Chunk<AXIS>& chunk, const Place& at, int k) {
    using Raw = typename Number::Raw;
    if (at.lane < SIDE) {
        const FactorStrides& f = p.bc_strides;
        float2 bc = make_float2(0.0f, 0.0f);
        if (at.lane < chunk.valid) {
            const Raw* from = static_cast<const Raw*>(p.bc) + at.batch * f.batch + k * f.direction + chunk.row * f.row +
                              chunk.col * f.col + at.lane * Chunk<AXIS>::step(f.row, f.col);
            bc = make_float2(LN_2 * Number::widen(from[0]), Number::widen(from[f.channel]));
        }
        s.factors_bc[at.warp * SIDE + at.lane] = bc;
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

// z of a lane's channel at the chunk's 16 positions, in shared memory: registers are scarcer. A place can be reused.
struct Logits {
    float* first;
    float bias;
    __device__ float get(int t) const { return first[t * Z_PITCH] + bias; }
    __device__ float& slot(int t) const { return first[t * Z_PITCH]; }
};

// Minus infinity (step 0, decay 1) outside the map. Stages B and C as well. All warps of the block call it together.
template <class Number, int AXIS>
__device__ inline Logits logits(const ScanParams& p, const Shared& s, const Chunk<AXIS>& chunk, const Place& at, int k) {
    using Raw = typename Number::Raw;
    const int pitch = weight_pitch<Number>(p.rank_padded);
    float* own = s.logits + at.warp * SIDE * Z_PITCH;
    Raw* dt = reinterpret_cast<Raw*>(own);
    float sums[SIDE] = {};  // tensor cores: 4 fragments of 16 positions x 8 channels; else this lane's 16 positions
    __syncwarp();           // the previous direction's logits have been read
    stage_bc<Number>(p, s, chunk, at, k);
    for (int rank0 = 0; rank0 < p.rank; rank0 += p.rank_padded) {
        const Raw* weights = static_cast<const Raw*>(s.weights) + (p.weight_slots == 4 ? k * LANES * pitch : 0);
        if (p.weight_slots != 4) {
            __syncthreads();
            stage_weights<Number>(p, s, at, 0, k, rank0);
            __syncthreads();
        }
        if constexpr (Number::PACKED) {
            stage_dt<Number>(p, chunk, at, k, rank0, p.rank_padded, dt, pitch);
            __syncwarp();
            multiply<Number>(sums, dt, weights, pitch, p.rank_padded, at.lane);
            __syncwarp();
        } else {
            for (int part = 0; part < p.rank_padded; part += 32) {  // 16 x 32 floats fit where the logits will lie
                const int ranks = min(32, p.rank_padded - part);
                stage_dt<Number>(p, chunk, at, k, rank0 + part, ranks, dt, 32);
                __syncwarp();
                for (int r = 0; r < ranks; ++r) {
                    const float weight = weights[at.lane * pitch + part + r];
#pragma unroll
                    for (int t = 0; t < SIDE; ++t) sums[t] += weight * dt[t * 32 + r];
                }
                __syncwarp();
            }
        }
    }
    if constexpr (Number::PACKED) {
        const int row = at.lane / 4, col = at.lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            float* to = own + row * Z_PITCH + n * 8 + col;
            *reinterpret_cast<float2*>(to) = make_float2(sums[4 * n], sums[4 * n + 1]);
            *reinterpret_cast<float2*>(to + 8 * Z_PITCH) = make_float2(sums[4 * n + 2], sums[4 * n + 3]);
        }
    } else {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) own[t * Z_PITCH + at.lane] = sums[t];
    }
    __syncwarp();
#pragma unroll 1
    for (int t = chunk.valid; t < SIDE; ++t) own[t * Z_PITCH + at.lane] = minus_infinity();
    const bool active = at.channel() < p.channels;
    return {own + at.lane, active ? LOG2_E * p.dt_bias[k * p.channels + at.channel()] : 0.0f};
}

}  // namespace geofcs
