// Forward in the usual case; what it computes is said in forward.cuh.
#pragma once
#include "forward.cuh"
#include "usual_join.cuh"

namespace geofcs::usual {

// One direction, the line walked with nothing entering: adds C h to y, leaves in z C times the decay since the line's
// start so that what does enter can be added later, and returns the line's links.
template <class Number, bool REVERSE>
__device__ inline Links walk_then_join(const unsigned (&x)[SIDE], const float4* bc, float2 rate, float (&z)[HELD], float (&y)[HELD]) {
    Links left;
#pragma unroll
    for (int i = 0; i < SIDE / 2; ++i) {
        const int n = REVERSE ? SIDE / 2 - 1 - i : i;
        const float4 f = bc[n];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int t = 2 * n + (REVERSE ? 1 - j : j);
            const float b = t % 2 ? f.z : f.x, c = t % 2 ? f.w : f.y;
#pragma unroll
            for (int channel = 0; channel < 2; ++channel) {
                const int at = held(t, channel);
                float& gain = left.of[channel].gain;
                float& h = left.of[channel].state;
                const float s = softplus2(z[at]), decay = exp2_fast((channel ? rate.y : rate.x) * s);
                const float driven = s * (b * (channel ? Number::widen_high(x[t]) : Number::widen_low(x[t])));
                const bool begins = i == 0 && j == 0;
                h = begins ? driven : decay * h + driven;
                gain = begins ? decay : gain * decay;
                y[at] += c * h;
                z[at] = c * gain;
            }
        }
        keep_order(i);
    }
    return left;
}

template <class Number, bool REVERSE>
__device__ inline Links walk_for_summary(const unsigned (&x)[SIDE], const float4* bc, float2 rate, const float (&z)[HELD]) {
    float h[2] = {}, steps[2] = {};
#pragma unroll
    for (int i = 0; i < SIDE / 2; ++i) {
        const int n = REVERSE ? SIDE / 2 - 1 - i : i;
        const float4 f = bc[n];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int t = 2 * n + (REVERSE ? 1 - j : j);
#pragma unroll
            for (int channel = 0; channel < 2; ++channel) {
                const float s = softplus2(z[held(t, channel)]), decay = exp2_fast((channel ? rate.y : rate.x) * s);
                const float value = channel ? Number::widen_high(x[t]) : Number::widen_low(x[t]);
                h[channel] = decay * h[channel] + s * ((t % 2 ? f.z : f.x) * value);
                steps[channel] += s;
            }
        }
        keep_order(i);
    }
    return {{{exp2_fast(rate.x * steps[0]), h[0]}, {exp2_fast(rate.y * steps[1]), h[1]}}};
}

template <class Number, bool REVERSE>
__device__ inline void walk_from(float2 entered, const unsigned (&x)[SIDE], const float4* bc, float2 rate, const float (&z)[HELD],
                                 float (&y)[HELD]) {
    float h[2] = {entered.x, entered.y};
#pragma unroll
    for (int i = 0; i < SIDE / 2; ++i) {
        const int n = REVERSE ? SIDE / 2 - 1 - i : i;
        const float4 f = bc[n];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int t = 2 * n + (REVERSE ? 1 - j : j);
#pragma unroll
            for (int channel = 0; channel < 2; ++channel) {
                const int at = held(t, channel);
                const float s = softplus2(z[at]), decay = exp2_fast((channel ? rate.y : rate.x) * s);
                const float value = channel ? Number::widen_high(x[t]) : Number::widen_low(x[t]);
                h[channel] = decay * h[channel] + s * ((t % 2 ? f.z : f.x) * value);
                y[at] += (t % 2 ? f.w : f.y) * h[channel];
            }
        }
        keep_order(i);
    }
}

// Offsets in shared memory. The factors come last: their size depends on R.
template <Pass PASS>
struct Memory {
    static constexpr int X = MAPS_AT, EXCHANGE = X + MAP_BYTES, LINKS = EXCHANGE + (PASS == Pass::SUMMARY ? 0 : EXCHANGE_BYTES);
    static __device__ int factors(const UsualParams& p) {
        const int most = max(p.tile_rows, p.tile_cols);
        return LINKS + (PASS == Pass::WHOLE ? 2 * THREADS * 16 : PASS == Pass::CLUSTER ? 2 * Cluster::links(most) * 16 : 0);
    }
};

template <class Number, Pass PASS, bool REVERSE>
__device__ inline void forward_direction(const UsualParams& p, const Spot& at, const Lines& lines, const unsigned (&x)[SIDE],
                                         float (&y)[HELD]) {
    using Where = Memory<PASS>;
    const int k = lines.axis + 2 * REVERSE, factors = Where::factors(p);
    float z[HELD];
    wait_for(barrier(FACTORS_CAME), REVERSE);
    const float2 rate = logits<Number>(p, at, lines, factors, z);
    __syncthreads();  // the factors have been read
    if (threadIdx.x == 0 && k != 2) fetch_direction(p, at, REVERSE ? 0 : k + 2, factors);
    const float4* bc = reinterpret_cast<const float4*>(shared_bc(threadIdx.x / LANES) + at.q * BC_PITCH);
    if constexpr (PASS == Pass::WHOLE || PASS == Pass::CLUSTER) {
        const Links left = walk_then_join<Number, REVERSE>(x, bc, rate, z, y);
        float2 h;
        if constexpr (PASS == Pass::WHOLE) h = join_lines<REVERSE>(at, Where::LINKS, left);
        else h = join_cluster<REVERSE>(p, at, lines.axis, Where::LINKS, left);
#pragma unroll
        for (int t = 0; t < SIDE; ++t) {
            y[held(t, 0)] += z[held(t, 0)] * h.x;
            y[held(t, 1)] += z[held(t, 1)] * h.y;
        }
        return;
    }
    const bool stored = at.channel() < p.channels && at.line() < lines.across;
    const int64 summary = ((static_cast<int64>(at.batch) * 4 + k) * p.chunks + lines.chunk(p, at, at.line())) * p.channels + at.channel();
    if constexpr (PASS == Pass::SUMMARY) {
        const Links left = walk_for_summary<Number, REVERSE>(x, bc, rate, z);
        if (stored) {
            *reinterpret_cast<float2*>(p.gain + summary) = {left.of[0].gain, left.of[1].gain};
            *reinterpret_cast<float2*>(p.state + summary) = {left.of[0].state, left.of[1].state};
        }
    } else {
        const float2 h = stored ? *reinterpret_cast<const float2*>(p.state + summary) : make_float2(0.0f, 0.0f);
        walk_from<Number, REVERSE>(h, x, bc, rate, z, y);
    }
}

// Columns first; x comes with the first factors.
template <class Number, Pass PASS>
__device__ inline void forward(const UsualParams& p) {
    using Where = Memory<PASS>;
    const Spot at(p, PASS == Pass::CLUSTER);
    if (threadIdx.x == 0) {
        make_barrier(barrier(MAPS_CAME), 1);
        make_barrier(barrier(FACTORS_CAME), 1);
        if constexpr (PASS == Pass::CLUSTER) make_join_barriers(p, at);
        publish_barriers();
        fetch_direction(p, at, 1, Where::factors(p));
        expect_bytes(barrier(MAPS_CAME), MAP_BYTES);
        fetch_box(shared_at(Where::X), p.x, at.channel0, at.tile_col * SIDE, at.tile_row * SIDE, at.batch, barrier(MAPS_CAME));
    }
    __syncthreads();
    if constexpr (PASS == Pass::CLUSTER) arrive_in_cluster();
    wait_for(barrier(MAPS_CAME), 0);
#pragma unroll 1  // one copy of the instructions for both axes
    for (int axis = 1; axis >= 0; --axis) {
        const Lines lines(p, at, axis);
        unsigned x[SIDE];
        read_line(x, at, axis, Where::X);
        float y[HELD] = {};
        forward_direction<Number, PASS, false>(p, at, lines, x, y);
        forward_direction<Number, PASS, true>(p, at, lines, x, y);
        if constexpr (PASS == Pass::SUMMARY) continue;
        if (axis == 1) {
#pragma unroll
            for (int t = 0; t < SIDE; ++t) exchanged(at, t, at.line(), Where::EXCHANGE) = {y[held(t, 0)], y[held(t, 1)]};
        } else {
            const float2 skip = *reinterpret_cast<const float2*>(shared_records(p, Where::factors(p)) +
                                                    (at.pair * (p.rank + RECORD_REST) + p.rank + RECORD_SKIP) * 4);
#pragma unroll
            for (int t = 0; t < SIDE; ++t) {
                const float2 columns = exchanged(at, at.line(), t, Where::EXCHANGE);
                *reinterpret_cast<unsigned*>(shared_at(Where::X + own_word(at, at.line(), t))) =
                    Number::narrow_pair(y[held(t, 0)] + columns.x + skip.x * Number::widen_low(x[t]),
                                        y[held(t, 1)] + columns.y + skip.y * Number::widen_high(x[t]));
            }
            show_to_copies();
        }
        __syncthreads();
    }
    if (PASS != Pass::SUMMARY && threadIdx.x == 0) {
        put_box(p.result, shared_at(Where::X), at.channel0, at.tile_col * SIDE, at.tile_row * SIDE, at.batch);
    }
}

}  // namespace geofcs::usual
