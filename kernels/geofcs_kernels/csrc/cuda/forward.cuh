// Forward: y = sum over the four directions of C_t h_t + skip x_t, h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t.
#pragma once
#include "carry.cuh"
#include "delta.cuh"

namespace geofcs {

enum class Pass {
    WHOLE,    // the map is one tile or one cluster: everything in one pass
    SUMMARY,  // any map, first pass: what each chunk leaves behind
    APPLY,    // any map, second pass: outputs, given what enters each chunk
};

// One direction, chunks walked with nothing entering: adds C h to y, keeps C times the decay since the chunk's start so
// that what does enter can be added later, and returns the chunk's summary.
template <class Number, bool REVERSE>
__device__ inline float2 walk_then_join(const float2* bc, const Values<Number>& x, float a, const Logits& z,
                                        float (&y)[SIDE]) {
    float h = 0.0f, gain = 1.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.get(t));
        const float decay = exp2_fast(a * s);
        const float2 f = bc[t];
        h = decay * h + s * (f.x * x.get(t));
        gain *= decay;
        y[t] += f.y * h;
        z.slot(t) = f.y * gain;
        keep_order(i);
    }
    return make_float2(gain, h);
}

template <class Number, bool REVERSE>
__device__ inline float2 walk_for_summary(const float2* bc, const Values<Number>& x, float a, const Logits& z) {
    float h = 0.0f, steps = 0.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.get(t));
        h = exp2_fast(a * s) * h + s * (bc[t].x * x.get(t));
        steps += s;
        keep_order(i);
    }
    return make_float2(exp2_fast(a * steps), h);
}

template <class Number, bool REVERSE>
__device__ inline void walk_from(float h, const float2* bc, const Values<Number>& x, float a, const Logits& z,
                                 float (&y)[SIDE]) {
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.get(t));
        const float2 f = bc[t];
        h = exp2_fast(a * s) * h + s * (f.x * x.get(t));
        y[t] += f.y * h;
        keep_order(i);
    }
}

template <class Number, Pass PASS, int AXIS, bool REVERSE>
__device__ inline void forward_direction(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at,
                                         const Values<Number>& x, float (&y)[SIDE]) {
    constexpr int K = AXIS + 2 * REVERSE;
    const bool active = at.channel() < p.channels;
    const Logits z = logits<Number>(p, chunk, at, K);
    const float a = active ? -exp2_fast(LOG2_E * p.a_log[K * p.channels + at.channel()]) : 0.0f;
    const float2* bc = shared_bc(at.warp);
    const bool stored = active && chunk.valid > 0;
    const int64 summary = stored ? summary_offset(p, at, K, chunk.index) : 0;
    if constexpr (PASS == Pass::WHOLE) {
        const float2 left = walk_then_join<Number, REVERSE>(bc, x, a, z, y);
        const float enters = join_chunks<Number, AXIS>(p, at, K, left.x, left.y);
#pragma unroll
        for (int t = 0; t < SIDE; ++t) y[t] += z.slot(t) * enters;
    } else if constexpr (PASS == Pass::SUMMARY) {
        const float2 left = walk_for_summary<Number, REVERSE>(bc, x, a, z);
        if (stored) p.gain[summary] = left.x, p.state[summary] = left.y;
    } else {
        walk_from<Number, REVERSE>(stored ? p.state[summary] : 0.0f, bc, x, a, z, y);
    }
}

template <class Number, Pass PASS, int AXIS>
__device__ inline void forward_axis(const ScanParams& p, const Place& at) {
    const Chunk<AXIS> chunk(p, at);
    const bool active = at.channel() < p.channels;
    Values<Number> x;
    x.load(p.x, p.x_strides, chunk, at, active);
    float y[SIDE] = {};
    forward_direction<Number, PASS, AXIS, false>(p, chunk, at, x, y);
    forward_direction<Number, PASS, AXIS, true>(p, chunk, at, x, y);
    if constexpr (PASS == Pass::SUMMARY) return;
    if constexpr (AXIS == 1) {  // hand over to the warps that own the rows
#pragma unroll
        for (int t = 0; t < SIDE; ++t) shared_exchange()[(t * SIDE + at.warp) * LANES + at.lane] = y[t];
        __syncthreads();
    } else if (active) {
        float skip = 0.0f;
        for (int k = 0; k < 4; ++k) skip += p.skip[k * p.channels + at.channel()];
#pragma unroll
        for (int t = 0; t < SIDE; ++t) y[t] += shared_exchange()[(at.warp * SIDE + t) * LANES + at.lane] + skip * x.get(t);
        store_values<Number>(p.y, p.y_strides, chunk, at, y);
    }
}

template <class Number, Pass PASS>
__device__ inline void forward(const ScanParams& p) {
    const Place at = place_of(p, PASS == Pass::WHOLE);
    stage_all_weights<Number>(p, at);
    forward_axis<Number, PASS, 1>(p, at);
    forward_axis<Number, PASS, 0>(p, at);
    if constexpr (PASS == Pass::WHOLE) {
        if (p.tile_rows * p.tile_cols > 1) cluster_barrier();  // nobody leaves while its shared memory is being read
    }
}

}  // namespace geofcs
