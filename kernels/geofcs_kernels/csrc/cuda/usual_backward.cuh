// Backward in the usual case; what it computes is said in backward.cuh.
#pragma once
#include "usual_forward.cuh"

namespace geofcs::usual {

// Offsets in shared memory; SCRATCH: of each warp, 16 numbers of each lane, 80 bytes from lane to lane.
template <bool APPLY>
struct BackwardMemory {
    static constexpr int SCRATCH_WARP = LANES * 80;
    static constexpr int X = MAPS_AT, GRAD = X + MAP_BYTES, EXCHANGE = GRAD + MAP_BYTES;
    static constexpr int SCRATCH = EXCHANGE + (APPLY ? EXCHANGE_BYTES : 0);
    static constexpr int FACTORS = SCRATCH + (APPLY ? WARPS * SCRATCH_WARP : 0);
};

template <class Memory>
__device__ inline void begin_backward(const UsualParams& p, const Spot& at) {
    if (threadIdx.x == 0) {
        make_barrier(barrier(MAPS_CAME), 1);
        make_barrier(barrier(FACTORS_CAME), 1);
        publish_barriers();
        const int col = at.tile_col * SIDE, row = at.tile_row * SIDE;
        fetch_direction(p, at, 1, Memory::FACTORS);
        expect_bytes(barrier(MAPS_CAME), 2 * MAP_BYTES);
        fetch_box(shared_at(Memory::X), p.x, at.channel0, col, row, at.batch, barrier(MAPS_CAME));
        fetch_box(shared_at(Memory::GRAD), p.grad_y, at.channel0, col, row, at.batch, barrier(MAPS_CAME));
    }
    __syncthreads();
    wait_for(barrier(MAPS_CAME), 0);
}

// Logits of the next direction; lets the one after it come.
template <class Number, bool REVERSE>
__device__ inline float2 next_logits(const UsualParams& p, const Spot& at, const Lines& lines, int factors, float (&z)[HELD]) {
    const int k = lines.axis + 2 * REVERSE;
    wait_for(barrier(FACTORS_CAME), REVERSE);
    const float2 rate = logits<Number>(p, at, lines, factors, z);
    __syncthreads();
    if (threadIdx.x == 0 && k != 2) fetch_direction(p, at, REVERSE ? 0 : k + 2, factors);
    return rate;
}

__device__ inline const float2* own_bc(const Spot& at) { return shared_bc(threadIdx.x / LANES) + at.q * BC_PITCH; }

// Along the words of a lane's line of a staged map, in the direction's order.
struct Walk {
    int step, first;
    __device__ Walk(const Spot& at, int axis, bool reverse)
        : step((reverse ? -1 : 1) * (axis == 0 ? LANES * 2 : SIDE * LANES * 2)),
          first(own_word(at, axis == 0 ? at.line() : reverse ? SIDE - 1 : 0, axis == 0 ? (reverse ? SIDE - 1 : 0) : at.line())) {}
    __device__ const char* begin(int map) const { return shared_at(map + first); }
};

template <class Number>
__device__ inline float of_channel(unsigned word, int channel) {
    return channel ? Number::widen_high(word) : Number::widen_low(word);
}

__device__ inline int64 summary_at(const UsualParams& p, const Spot& at, const Lines& lines, int k) {
    return ((static_cast<int64>(at.batch) * 4 + k) * p.chunks + lines.chunk(p, at, at.line())) * p.channels + at.channel();
}

template <class Number, bool REVERSE>
__device__ inline void summarise_both(const UsualParams& p, const Spot& at, const Lines& lines) {
    using Memory = BackwardMemory<false>;
    float z[HELD];
    const float2 rate = next_logits<Number, REVERSE>(p, at, lines, Memory::FACTORS, z);
    const float2* bc = own_bc(at);
    const Walk walk(at, lines.axis, REVERSE);
    const char* word = walk.begin(Memory::X);
    float h[2] = {}, mu[2] = {}, steps[2] = {};
#pragma unroll
    for (int i = 0; i < SIDE; ++i, word += walk.step) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float b = bc[t].x;
        const unsigned x = *reinterpret_cast<const unsigned*>(word);
#pragma unroll
        for (int channel = 0; channel < 2; ++channel) {
            const float s = softplus2(z[held(t, channel)]), decay = exp2_fast((channel ? rate.y : rate.x) * s);
            z[held(t, channel)] = decay;
            h[channel] = decay * h[channel] + s * (b * of_channel<Number>(x, channel));
            steps[channel] += s;
        }
        keep_order(i);
    }
    word += Memory::GRAD - Memory::X;
#pragma unroll
    for (int i = SIDE - 1; i >= 0; --i) {
        word -= walk.step;
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float c = bc[t].y;
        const unsigned g = *reinterpret_cast<const unsigned*>(word);
#pragma unroll
        for (int channel = 0; channel < 2; ++channel) {
            mu[channel] = z[held(t, channel)] * (c * of_channel<Number>(g, channel) + mu[channel]);
        }
        keep_order(i);
    }
    if (at.channel() < p.channels && at.line() < lines.across) {
        const int64 summary = summary_at(p, at, lines, lines.axis + 2 * REVERSE);
        *reinterpret_cast<float2*>(p.gain + summary) = {exp2_fast(rate.x * steps[0]), exp2_fast(rate.y * steps[1])};
        *reinterpret_cast<float2*>(p.state + summary) = {h[0], h[1]};
        *reinterpret_cast<float2*>(p.adjoint + summary) = {mu[0], mu[1]};
    }
}

template <class Number>
__device__ inline void backward_summary(const UsualParams& p) {
    const Spot at(p, false);
    begin_backward<BackwardMemory<false>>(p, at);
#pragma unroll 1
    for (int axis = 1; axis >= 0; --axis) {
        const Lines lines(p, at, axis);
        summarise_both<Number, false>(p, at, lines);
        summarise_both<Number, true>(p, at, lines);
    }
}

// Sums over the warp's 16 channels of what each lane left in `scratch`: (dB, dC) of 8 positions from `first` on.
__device__ inline void store_grad_bc(const UsualParams& p, const Spot& at, const Lines& lines, int k, int first, const float* scratch) {
    __syncwarp();
    const int lane = threadIdx.x % LANES, q = lane / 8, i = lane % 8;
    float2 sum = {0.0f, 0.0f};
#pragma unroll
    for (int g = 0; g < 8; ++g) {
        const float2 one = *reinterpret_cast<const float2*>(scratch + (g * 4 + q) * 20 + i * 2);
        sum.x += one.x, sum.y += one.y;
    }
    __syncwarp();
    const int line = at.warp_lines + q, t = first + i;
    const int row = at.tile_row * SIDE + (lines.axis == 0 ? line : t), col = at.tile_col * SIDE + (lines.axis == 0 ? t : line);
    if (row >= p.height || col >= p.width) return;
    const int64 part = at.channel0 / PAIRS + at.pair / 8;
    const int64 position = (((part * 4 + k) * p.batch + at.batch) * p.height + row) * p.width + col;
    *reinterpret_cast<float2*>(p.grad_bc + position * 2) = {LN_2 * sum.x, sum.y};
}

// Sums over the lines of the warp.
__device__ inline float over_lines(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

// Per channel over the positions of the warp's lines: see CHANNEL_SUMS.
__device__ inline void store_channel_sum(const UsualParams& p, const Spot& at, int which, float first, float second) {
    const float2 sums = {over_lines(first), over_lines(second)};
    if (at.q > 0 || at.channel() >= p.channels) return;
    const int64 tile = (static_cast<int64>(at.batch) * p.tile_rows + at.tile_row) * p.tile_cols + at.tile_col;
    *reinterpret_cast<float2*>(p.channel_sums + ((tile * 4 + at.warp_lines / 4) * CHANNEL_SUMS + which) * p.channels + at.channel()) = sums;
}

// Without a branch.
__device__ inline void store_if(bool stored, void* to, unsigned v) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %0, 0;\n@p st.global.b32 [%1], %2;\n}" ::"r"(static_cast<int>(stored)), "l"(to),
                 "r"(v)
                 : "memory");
}

template <class Number, bool REVERSE>
__device__ inline void backward_direction(const UsualParams& p, const Spot& at, const Lines& lines, float (&dx)[HELD]) {
    using Memory = BackwardMemory<true>;
    const int k = lines.axis + 2 * REVERSE;
    float s[HELD], states[HELD];
    const bool stored = at.channel() < p.channels && at.line() < lines.across;
    float2 from = {0.0f, 0.0f}, back = from;  // asked for early: the logits hide the wait
    if (stored) {
        const int64 summary = summary_at(p, at, lines, k);
        from = *reinterpret_cast<const float2*>(p.state + summary), back = *reinterpret_cast<const float2*>(p.adjoint + summary);
    }
    const float2 rates = next_logits<Number, REVERSE>(p, at, lines, Memory::FACTORS, s);
    const float2* bc = own_bc(at);
    const float entered[2] = {from.x, from.y};
    float h[2] = {from.x, from.y}, mu[2] = {back.x, back.y};

    const Walk walk(at, lines.axis, REVERSE);
    const char* word = walk.begin(Memory::X);
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float b = bc[t].x;
        const unsigned x = *reinterpret_cast<const unsigned*>(word);
        if (i < SIDE - 1) word += walk.step;
#pragma unroll
        for (int channel = 0; channel < 2; ++channel) {
            const int n = held(t, channel);
            s[n] = softplus2(s[n]);
            h[channel] = exp2_fast((channel ? rates.y : rates.x) * s[n]) * h[channel] + s[n] * (b * of_channel<Number>(x, channel));
            states[n] = h[channel];
        }
        keep_order(i);
    }

    const int z_step = 2 * p.channels * (lines.axis == 0 ? 1 : p.width);
    const int row = at.tile_row * SIDE + (lines.axis == 0 ? at.line() : 0), col = at.tile_col * SIDE + (lines.axis == 0 ? 0 : at.line());
    char* grad_z = static_cast<char*>(p.grad_z) +
                   2 * (at.channel() + p.channels * (((static_cast<int64>(k) * p.batch + at.batch) * p.height + row) * p.width + col));
    float* scratch = reinterpret_cast<float*>(shared_at(Memory::SCRATCH + threadIdx.x / LANES * Memory::SCRATCH_WARP));
    const int stores = stored ? lines.along : 0;
    float sum_bias[2] = {}, sum_a[2] = {};
    // The same rates, unknown to the compiler: it would keep the decays from above, and registers are scarcer than
    // special functions.
    const int self = threadIdx.x % LANES;
    const float2 again = {__shfl_sync(0xffffffffu, rates.x, self), __shfl_sync(0xffffffffu, rates.y, self)};
#pragma unroll
    for (int i = SIDE - 1; i >= 0; --i) {
        const int t = REVERSE ? SIDE - 1 - i : i;
        const float2 f = bc[t];  // B ln 2, C
        const unsigned x = *reinterpret_cast<const unsigned*>(word);
        const unsigned g = *reinterpret_cast<const unsigned*>(word + (Memory::GRAD - Memory::X));
        word -= walk.step;
        float2 share = {0.0f, 0.0f};  // of dB / ln 2, of dC
        float dz[2];
#pragma unroll
        for (int channel = 0; channel < 2; ++channel) {
            const int n = held(t, channel);
            const float xt = of_channel<Number>(x, channel), gt = of_channel<Number>(g, channel), step = s[n];
            const float rate = channel ? again.y : again.x;
            const float lambda = f.y * gt + mu[channel], scaled = lambda * step;
            mu[channel] = exp2_fast(rate * step) * lambda;
            const float through = mu[channel] * (i == 0 ? entered[channel] : states[held(REVERSE ? t + 1 : t - 1, channel)]);
            dx[n] += scaled * f.x;
            sum_a[channel] += through * step;
            // ddelta = A through + lambda B x, f.x = B ln 2, sigmoid = 1 - 2^-step
            const float sigmoid = LOG2_E - LOG2_E * exp2_fast(-step);
            dz[channel] = (LN_2 * rate * through + lambda * (f.x * xt)) * sigmoid;
            sum_bias[channel] += dz[channel];
            share.x += scaled * xt;
            share.y += gt * states[n];
        }
        *reinterpret_cast<float2*>(scratch + threadIdx.x % LANES * 20 + t % 8 * 2) = share;
        store_if(t < stores, grad_z + t * static_cast<int64>(z_step), Number::narrow_pair(dz[0], dz[1]));
        if (i % 8 == 0) store_grad_bc(p, at, lines, k, t / 8 * 8, scratch);
        keep_order(i + 3);
    }
    store_channel_sum(p, at, k, sum_bias[0], sum_bias[1]);
    store_channel_sum(p, at, 4 + k, LN_2 * rates.x * sum_a[0], LN_2 * rates.y * sum_a[1]);
}

template <class Number>
__device__ inline void backward_apply(const UsualParams& p) {
    using Memory = BackwardMemory<true>;
    const Spot at(p, false);
    begin_backward<Memory>(p, at);
#pragma unroll 1
    for (int axis = 1; axis >= 0; --axis) {
        const Lines lines(p, at, axis);
        float dx[HELD] = {};
        backward_direction<Number, false>(p, at, lines, dx);
        backward_direction<Number, true>(p, at, lines, dx);
        if (axis == 1) {
#pragma unroll
            for (int t = 0; t < SIDE; ++t) exchanged(at, t, at.line(), Memory::EXCHANGE) = {dx[held(t, 0)], dx[held(t, 1)]};
        } else {
            const float2 skip = *reinterpret_cast<const float2*>(shared_records(p, Memory::FACTORS) +
                                                                 (at.pair * (p.rank + RECORD_REST) + p.rank + RECORD_SKIP) * 4);
            float2 sum = {0.0f, 0.0f};
#pragma unroll
            for (int t = 0; t < SIDE; ++t) {
                char* word = shared_at(Memory::X + own_word(at, at.line(), t));
                const unsigned x = *reinterpret_cast<const unsigned*>(word), g = *reinterpret_cast<const unsigned*>(word + Memory::GRAD - Memory::X);
                const float2 columns = exchanged(at, at.line(), t, Memory::EXCHANGE);
                sum.x += Number::widen_low(x) * Number::widen_low(g), sum.y += Number::widen_high(x) * Number::widen_high(g);
                *reinterpret_cast<unsigned*>(word) = Number::narrow_pair(dx[held(t, 0)] + columns.x + skip.x * Number::widen_low(g),
                                                                         dx[held(t, 1)] + columns.y + skip.y * Number::widen_high(g));
            }
            store_channel_sum(p, at, 8, sum.x, sum.y);
            show_to_copies();
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        put_box(p.result, shared_at(Memory::X), at.channel0, at.tile_col * SIDE, at.tile_row * SIDE, at.batch);
    }
}

}  // namespace geofcs::usual
