// Backward, in two passes over the map (states are computed again, nothing is kept from the forward).
//
// With g the gradient of y, and mu_t what the later positions of a direction send back to position t:
//     lambda_t = C_t g_t + mu_t          gradient of h_t;  mu_{t-1} = exp(delta_t A) lambda_t
//     dC_t = sum_d g h                   dB_t = sum_d lambda delta x
//     dx   = sum_k lambda delta B + skip g
//     ddelta = lambda (A exp(delta A) h_{t-1} + B x),   dz = ddelta sigmoid(z),   da_log = A sum lambda delta exp(delta A) h_{t-1}
// dz is written out in x's type: the gradients of dt and dt_weight are matrix products, left to the library that is good
// at them.
#pragma once
#include "carry.cuh"
#include "delta.cuh"

namespace geofcs {

template <class Number, class Memory, int AXIS, bool REVERSE, class X>
__device__ inline void summarise_both(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at,
                                         const typename Number::Raw* row, const X& x, const X& g) {
    constexpr int K = AXIS + 2 * REVERSE;
    const Logits z = logits<Number, Memory>(p, row, chunk.valid, at, K);
    const float a = shared_rate(K)[at.lane];
    const float2* bc = shared_bc(at.warp);
    float h = 0.0f, mu = 0.0f, steps = 0.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float step = softplus2<Number>(z.at(t)), decay = exp2_fast(a * step);
        z.at(t) = decay;
        h = decay * h + step * (bc[t].x * x.get(t));
        steps += step;
        keep_order(i);
    }
#pragma unroll
    for (int i = SIDE - 1; i >= 0; --i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        mu = z.at(t) * (bc[t].y * g.get(t) + mu);
        keep_order(i);
    }
    if (at.channel() < p.channels && chunk.valid > 0) {
        const int64 summary = summary_offset(p, at, K, chunk.index);
        p.gain[summary] = exp2_fast(a * steps);
        p.state[summary] = h;
        p.adjoint[summary] = mu;
    }
}

template <class Number, class Memory, int AXIS>
__device__ inline void backward_summary_axis(const ScanParams& p, const Place& at) {
    const Chunk<AXIS> chunk(p, at);
    const auto* row = factor_row<Number>(p, chunk, at);
    const bool active = at.channel() < p.channels;
    const auto x = values_of<Number, Memory, 0>(p.x, p.x_strides, chunk, at, active);
    const auto g = values_of<Number, Memory, 1>(p.grad_y, p.grad_y_strides, chunk, at, active);
    summarise_both<Number, Memory, AXIS, false>(p, chunk, at, row, x, g);
    summarise_both<Number, Memory, AXIS, true>(p, chunk, at, row, x, g);
}

template <class Number>
__device__ inline void backward_summary(const ScanParams& p) {
    using Memory = Shared<Number, 2, false>;
    const Place at = place_of(p, false);
    if constexpr (Number::PACKED) {
        stage_map<Number>(p, at, p.x, p.x_strides, p.x_bytes, Memory::tile(0));
        stage_map<Number>(p, at, p.grad_y, p.grad_y_strides, p.grad_y_bytes, Memory::tile(1));
    }
    stage_parameters<Number, Memory>(p, at);
    backward_summary_axis<Number, Memory, 1>(p, at);
    backward_summary_axis<Number, Memory, 0>(p, at);
}

// Sums over the lanes of 16 values each: each step halves what a lane holds. Every second lane ends with one sum, of
// value `sum_index(lane)`.
template <int HALF>
__device__ inline float sum_over_lanes(float (&v)[SIDE], int lane) {
    const bool upper = lane & (2 * HALF);
#pragma unroll
    for (int i = 0; i < HALF; ++i) {
        const float send = upper ? v[i] : v[i + HALF], keep = upper ? v[i + HALF] : v[i];
        v[i] = keep + __shfl_xor_sync(0xffffffffu, send, 2 * HALF);
    }
    if constexpr (HALF > 1) return sum_over_lanes<HALF / 2>(v, lane);
    else return v[0] + __shfl_xor_sync(0xffffffffu, v[0], 1);
}
__device__ inline int sum_index(int lane) { return lane / 2; }

// What a lane adds up over its chunks for its channel; see CHANNEL_SUMS.
struct ChannelSums {
    float bias[4], a_log[4], skip;
};

template <class Number, class Memory, int AXIS, bool REVERSE>
__device__ inline void backward_direction(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at,
                                          const typename Number::Raw* row, const Values<Number>& x, const Values<Number>& g, float (&dx)[SIDE],
                                          ChannelSums& sums) {
    using Raw = typename Number::Raw;
    constexpr int K = AXIS + 2 * REVERSE;
    const bool active = at.channel() < p.channels, stored = active && chunk.valid > 0;
    const Logits z = logits<Number, Memory>(p, row, chunk.valid, at, K);
    const float a = shared_rate(K)[at.lane];
    const float2* bc = shared_bc(at.warp);
    const int64 summary = stored ? summary_offset(p, at, K, chunk.index) : 0;
    const float entered = stored ? p.state[summary] : 0.0f;
    float h = entered, mu = stored ? p.adjoint[summary] : 0.0f;

    float step[SIDE], states[SIDE];
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        step[t] = softplus2<Number>(z.at(t));
        const float decay = exp2_fast(a * step[t]);
        z.at(t) = decay;
        h = decay * h + step[t] * (bc[t].x * x.get(t));
        states[t] = h;
        keep_order(i);
    }
    const int64 z_step = Chunk<AXIS>::step(static_cast<int64>(p.width) * p.channels, p.channels);
    Raw* grad_z = static_cast<Raw*>(p.grad_z) + at.channel() +
                  p.channels * (((static_cast<int64>(K) * p.batch + at.batch) * p.height + chunk.row) * p.width + chunk.col);
    const int stores = active ? chunk.valid : 0;
    float sum_bias = 0.0f, sum_a = 0.0f;
#pragma unroll
    for (int i = SIDE - 1; i >= 0; --i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float2 f = bc[t];  // B ln 2, C
        const float xt = x.get(t), gt = g.get(t);
        const float lambda = f.y * gt + mu;
        const float driven = f.x * xt;
        mu = z.at(t) * lambda;
        const float through = mu * (i == 0 ? entered : states[REVERSE ? t + 1 : t - 1]);
        const float scaled = lambda * step[t];
        dx[t] += scaled * f.x;
        sum_a += through * step[t];
        // ddelta = a * through + lambda B x, and f.x = B ln 2
        const float dz = (a * through + LOG2_E * (lambda * driven)) * sigmoid_from_softplus2<Number>(step[t]);
        sum_bias += dz;
        if (t < stores) grad_z[t * z_step] = Number::narrow(dz);
        states[t] *= gt;               // share of dC
        step[t] = scaled * LN_2 * xt;  // share of dB
    }
    sums.bias[K] = sum_bias;
    sums.a_log[K] = sum_a * LN_2 * a;

    const float db = sum_over_lanes<SIDE / 2>(step, at.lane), dc = sum_over_lanes<SIDE / 2>(states, at.lane);
    const int t = sum_index(at.lane);
    if (at.lane % 2 == 0 && t < chunk.valid) {
        const int row = chunk.row + (AXIS == 1 ? t : 0), col = chunk.col + (AXIS == 0 ? t : 0);
        const int64 position = ((static_cast<int64>(at.channel0 / LANES) * p.batch + at.batch) * p.height + row) * p.width + col;
        *reinterpret_cast<float2*>(p.grad_bc + (position * 4 + K) * 2) = make_float2(db, dc);
    }
}

template <class Number, class Memory, int AXIS>
__device__ inline void backward_axis(const ScanParams& p, const Place& at, ChannelSums& sums) {
    const Chunk<AXIS> chunk(p, at);
    const auto* row = factor_row<Number>(p, chunk, at);
    const bool active = at.channel() < p.channels;
    Values<Number> x, g;
    x.load(p.x, p.x_strides, chunk, at, active);
    g.load(p.grad_y, p.grad_y_strides, chunk, at, active);
    float dx[SIDE] = {};
    backward_direction<Number, Memory, AXIS, false>(p, chunk, at, row, x, g, dx, sums);
    backward_direction<Number, Memory, AXIS, true>(p, chunk, at, row, x, g, dx, sums);
    if constexpr (AXIS == 1) {
#pragma unroll
        for (int t = 0; t < SIDE; ++t) Memory::exchange(t, at.warp, at.lane) = dx[t];
        __syncthreads();
    } else {
        float skip = 0.0f;
        for (int k = 0; k < 4 && active; ++k) skip += p.skip[k * p.channels + at.channel()];
        sums.skip = 0.0f;
#pragma unroll
        for (int t = 0; t < SIDE; ++t) {
            sums.skip += x.get(t) * g.get(t);
            dx[t] += Memory::exchange(at.warp, t, at.lane) + skip * g.get(t);
        }
        if (active) store_values<Number>(p.grad_x, p.grad_x_strides, chunk, at, dx);
    }
}

// The block's sums per channel, over its 16 warps in fixed order: results do not depend on timing.
template <class Memory>
__device__ inline void store_channel_sums(const ScanParams& p, const Place& at, const ChannelSums& sums) {
    __syncthreads();  // the exchange has been read
    float* all = &Memory::exchange(0, 0, 0);
    for (int k = 0; k < 4; ++k) {
        all[k * THREADS + threadIdx.x] = sums.bias[k];
        all[(4 + k) * THREADS + threadIdx.x] = sums.a_log[k];
    }
    all[8 * THREADS + threadIdx.x] = sums.skip;
    __syncthreads();
    const int64 block = static_cast<int64>(at.batch) * p.tile_rows * p.tile_cols + at.tile_row * p.tile_cols + at.tile_col;
    if (at.warp < CHANNEL_SUMS && at.channel() < p.channels) {
        float total = 0.0f;
        for (int w = 0; w < SIDE; ++w) total += all[at.warp * THREADS + w * LANES + at.lane];
        p.channel_sums[(block * CHANNEL_SUMS + at.warp) * p.channels + at.channel()] = total;
    }
}

// Keeps maps in registers, not in shared memory: it has 128 registers a thread.
template <class Number>
__device__ inline void backward_apply(const ScanParams& p) {
    using Memory = Shared<Number, 0, true>;
    const Place at = place_of(p, false);
    ChannelSums sums;
    stage_parameters<Number, Memory>(p, at);
    backward_axis<Number, Memory, 1>(p, at, sums);
    backward_axis<Number, Memory, 0>(p, at, sums);
    store_channel_sums<Memory>(p, at, sums);
}

}  // namespace geofcs
