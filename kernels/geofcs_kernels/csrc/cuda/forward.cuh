// Forward: y = sum over the four directions of C_t h_t + skip x_t, h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t.
#pragma once
#include "carry.cuh"
#include "delta.cuh"

namespace geofcs {

enum class Pass {
    WHOLE,    // the map is one tile: everything in one pass
    CLUSTER,  // the map is a few tiles that read each other's shared memory: the same
    SUMMARY,  // any map, first pass: what each chunk leaves behind
    APPLY,    // any map, second pass: outputs, given what enters each chunk
};

// One direction, chunks walked with nothing entering: adds C h to y, keeps C times the decay since the chunk's start so
// that what does enter can be added later, and returns the chunk's link.
template <class Number, bool REVERSE, class X>
__device__ inline Link walk_then_join(const float2* bc, const X& x, float a, const Logits& z, float (&y)[SIDE]) {
    float h = 0.0f, gain = 1.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.at(t)), decay = exp2_fast(a * s);
        const float2 f = bc[t];
        h = decay * h + s * (f.x * x.get(t));
        gain *= decay;
        y[t] += f.y * h;
        z.at(t) = f.y * gain;
        keep_order(i);
    }
    return {gain, h};
}

template <class Number, bool REVERSE, class X>
__device__ inline Link walk_for_summary(const float2* bc, const X& x, float a, const Logits& z) {
    float h = 0.0f, steps = 0.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.at(t));
        h = exp2_fast(a * s) * h + s * (bc[t].x * x.get(t));
        steps += s;
        keep_order(i);
    }
    return {exp2_fast(a * steps), h};
}

template <class Number, bool REVERSE, class X>
__device__ inline void walk_from(float h, const float2* bc, const X& x, float a, const Logits& z, float (&y)[SIDE]) {
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float s = softplus2<Number>(z.at(t));
        const float2 f = bc[t];
        h = exp2_fast(a * s) * h + s * (f.x * x.get(t));
        y[t] += f.y * h;
        keep_order(i);
    }
}

template <class Number, class Memory, Pass PASS, int AXIS, bool REVERSE, class X>
__device__ inline void forward_direction(const ScanParams& p, const Chunk<AXIS>& chunk, const Place& at,
                                         const typename Number::Raw* row, const X& x,
                                         float (&y)[SIDE]) {
    constexpr int K = AXIS + 2 * REVERSE;
    const Logits z = logits<Number, Memory>(p, row, chunk.valid, at, K);
    const float a = shared_rate(K)[at.lane];
    const float2* bc = shared_bc(at.warp);
    const bool stored = at.channel() < p.channels && chunk.valid > 0;
    if constexpr (PASS == Pass::WHOLE || PASS == Pass::CLUSTER) {
        const Link left = walk_then_join<Number, REVERSE>(bc, x, a, z, y);
        Link* scratch = reinterpret_cast<Link*>(Memory::rest(p));
        float h;
        if constexpr (PASS == Pass::WHOLE) h = join_lines<REVERSE>(at, scratch, left);
        else h = join_cluster<AXIS, REVERSE>(p, at, scratch, left);
#pragma unroll
        for (int t = 0; t < SIDE; ++t) y[t] += z.at(t) * h;
    } else if constexpr (PASS == Pass::SUMMARY) {
        const Link left = walk_for_summary<Number, REVERSE>(bc, x, a, z);
        if (stored) {
            const int64 summary = summary_offset(p, at, K, chunk.index);
            p.gain[summary] = left.gain, p.state[summary] = left.state;
        }
    } else {
        const float h = stored ? p.state[summary_offset(p, at, K, chunk.index)] : 0.0f;
        walk_from<Number, REVERSE>(h, bc, x, a, z, y);
    }
}

template <class Number, class Memory, Pass PASS, int AXIS>
__device__ inline void forward_axis(const ScanParams& p, const Place& at) {
    const Chunk<AXIS> chunk(p, at);
    const auto* row = factor_row<Number>(p, chunk, at);
    const bool active = at.channel() < p.channels;
    const auto x = values_of<Number, Memory, 0>(p.x, p.x_strides, chunk, at, active);
    float y[SIDE] = {};
    forward_direction<Number, Memory, PASS, AXIS, false>(p, chunk, at, row, x, y);
    forward_direction<Number, Memory, PASS, AXIS, true>(p, chunk, at, row, x, y);
    if constexpr (PASS == Pass::SUMMARY) return;
    if constexpr (AXIS == 1) {  // hand over to the warps that own the rows
#pragma unroll
        for (int t = 0; t < SIDE; ++t) Memory::exchange(t, at.warp, at.lane) = y[t];
        __syncthreads();
    } else if (active) {
        float skip = 0.0f;
        for (int k = 0; k < 4; ++k) skip += p.skip[k * p.channels + at.channel()];
#pragma unroll
        for (int t = 0; t < SIDE; ++t) y[t] += Memory::exchange(at.warp, t, at.lane) + skip * x.get(t);
        store_values<Number>(p.y, p.y_strides, chunk, at, y);
    }
}

template <class Number, Pass PASS>
__device__ inline void forward(const ScanParams& p) {
    using Memory = Shared<Number, 1, PASS != Pass::SUMMARY>;
    const Place at = place_of(p, PASS == Pass::CLUSTER);
    if constexpr (Number::PACKED) stage_map<Number>(p, at, p.x, p.x_strides, p.x_bytes, Memory::tile(0));
    stage_parameters<Number, Memory>(p, at);
    forward_axis<Number, Memory, PASS, 1>(p, at);
    forward_axis<Number, Memory, PASS, 0>(p, at);
    if constexpr (PASS == Pass::CLUSTER) cluster_barrier();  // nobody leaves while its shared memory is being read
}

}  // namespace geofcs
