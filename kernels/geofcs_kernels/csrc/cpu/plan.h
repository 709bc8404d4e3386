// What all channel blocks of a four-direction scan share: the factors in the order of each direction, and that order.
#pragma once
#include "memory.h"
#include "parallel.h"
#include "scan.h"
#include "vectors.h"

#include <vector>

namespace geofcs {
namespace {

constexpr int GROUP = 8;  // positions whose steps are computed together, so that a weight is loaded once for all

// Directions k = 0..3: rows, columns, rows reversed, columns reversed. Within a block of channels, positions lie in rows of
// `row` = W + 1 vectors: columns would otherwise meet in few sets of the cache.
struct Plan {
    const FourDirectionScan& p;
    const int64_t length, row, numbers_per_step;
    Numbers factors;               // (b, 4, L, R + 2) in the order of each direction, B times ln(2)
    std::vector<int32_t> offsets;  // (2, L): where a block's vector of a position is, in row and in column order

    explicit Plan(const FourDirectionScan& p)
        : p(p), length(p.height * p.width), row(p.width + 1), numbers_per_step(p.rank + 2),
          factors(numbers((p.batch * 4 * length + 2 * GROUP) * numbers_per_step)), offsets(2 * length) {}

    int64_t lines(int k) const { return k % 2 ? p.width : p.height; }
    int64_t along(int k) const { return k % 2 ? p.height : p.width; }
    int64_t vectors() const { return p.height * row; }
    int64_t blocks() const { return (p.channels + LANES - 1) / LANES; }
    const float* factors_of(int64_t batch, int k) const { return &factors[(batch * 4 + k) * length * numbers_per_step]; }
    const int32_t* offsets_of(int k) const { return &offsets[k % 2 * length]; }

    // Packing comes in tasks: the rows and columns of every batch element.
    int64_t tasks() const { return p.batch * (p.height + p.width); }
    void pack(int64_t task) {
        const int64_t batch = task / (p.height + p.width), row = task % (p.height + p.width);
        for (int k = row < p.height ? 0 : 1; k < 4; k += 2) pack_line(batch, k, k % 2 ? row - p.height : row);
    }

  private:
    void pack_line(int64_t batch, int k, int64_t line) {
        with_type(p.factors_type, [&](auto* type) {
            using Number = std::remove_pointer_t<decltype(type)>;
            const Number* from = static_cast<const Number*>(p.factors) + (batch * length * 4 + k) * numbers_per_step;
            float* to = &factors[(batch * 4 + k) * length * numbers_per_step];
            for (int64_t i = 0; i < along(k); ++i) {
                const int64_t step = line * along(k) + i, column = k % 2 ? line : i, row = k % 2 ? i : line;
                pack_step(from + (row * p.width + column) * 4 * numbers_per_step,
                          to + (k < 2 ? step : length - 1 - step) * numbers_per_step);
                if (batch == 0 && k < 2) offsets[k * length + step] = static_cast<int32_t>(row * this->row + column);
            }
        });
    }
    template <class Number>
    void pack_step(const Number* from, float* to) const {
        for (int64_t r = 0; r < numbers_per_step; ++r) to[r] = widen(from[r]);
        to[p.rank] *= LN_2;
    }
};

// One direction's parameters of LANES channels, zero beyond the last channel.
struct Parameters {
    Numbers weight;     // (R, LANES), times log2(e)
    Floats bias, rate;  // dt_bias times log2(e); A = -exp(a_log)

    Parameters(const FourDirectionScan& p, int k, int64_t channel0, int count) : weight(numbers((p.rank + 1) * LANES)) {
        bias = rate = Floats{};
        for (int64_t r = 0; r < p.rank; ++r) store(&weight[r * LANES], Floats{});
        for (int c = 0; c < count; ++c) {
            const int64_t channel = k * p.channels + channel0 + c;
            for (int64_t r = 0; r < p.rank; ++r) weight[r * LANES + c] = LOG2_E * p.dt_weight[channel * p.rank + r];
            bias[c] = LOG2_E * p.dt_bias[channel];
            rate[c] = -__builtin_expf(p.a_log[channel]);
        }
    }
};

// What one step of a direction needs: softplus2 of its logits, 2^(rate step), and its B (times ln(2)) and C.
struct Step {
    Floats step, gain;
    float B, C;
};

// Adds the terms first .. last - 1 of the rank-R product to the logits of GROUP positions, `factors` being those of the
// first.
inline void add_terms(const float* factors, int64_t rank, const Parameters& of, int64_t first, int64_t last, Floats* z) {
    for (int64_t r = first; r < last; ++r) {
        const Floats weight = load(&of.weight[r * LANES]);
        for (int i = 0; i < GROUP; ++i) z[i] += weight * factors[i * (rank + 2) + r];
    }
}

// Calls body(t, at, step) along a direction, t counting its steps and `at` telling where in a block the position lies. The
// products of a group are spread among the steps of the one before: those wait for results, these for multipliers.
template <class Body>
inline void walk(const Plan& plan, int64_t batch, int k, const Parameters& of, Body body) {
    const float* factors = plan.factors_of(batch, k);
    const int64_t rank = plan.p.rank, length = plan.length, forth = k < 2 ? 1 : -1;
    const int32_t* offsets = plan.offsets_of(k) + (k < 2 ? 0 : length - 1);
    const auto take = [&](int64_t t, const float* bc, Floats z) __attribute__((always_inline)) {
        const Floats step = softplus2(z);
        body(t, int64_t(offsets[forth * t]) * LANES, Step{step, exp2_negative(of.rate * step), bc[0], bc[1]});
    };
    int64_t t = 0;
    Floats z[GROUP];
    for (int i = 0; i < GROUP; ++i) z[i] = of.bias;
    add_terms(factors, rank, of, 0, rank, z);
    for (; t + GROUP <= length; t += GROUP) {
        const float *now = factors + rank, *following = factors += GROUP * (rank + 2);
        Floats next[GROUP];
        for (int i = 0; i < GROUP; ++i) next[i] = of.bias;
#pragma GCC unroll 8
        for (int i = 0; i < GROUP; ++i) {
            add_terms(following, rank, of, rank * i / GROUP, rank * (i + 1) / GROUP, next);
            take(t + i, now + i * (rank + 2), z[i]);
        }
        for (int i = 0; i < GROUP; ++i) z[i] = next[i];
    }
    for (int i = 0; t < length; ++i, ++t) take(t, factors + i * (rank + 2) + rank, z[i]);
}

// The sum of the four directions' skip connections.
inline Floats skips(const FourDirectionScan& p, int64_t channel0, int count) {
    Floats skip{};
    for (int k = 0; k < 4; ++k) {
        for (int c = 0; c < count; ++c) skip[c] += p.skip[k * p.channels + channel0 + c];
    }
    return skip;
}

// Packs with all threads, then calls task(batch, first channel, scratch) for every block of channels, with so many vectors
// of scratch per position.
template <class Task>
void for_each_block(const FourDirectionScan& p, int64_t maps, const Task& task) {
    Plan plan(p);
    Queue packing(plan.tasks()), blocks(p.batch * plan.blocks());
    on_threads(p.threads, [&] {
        for (int64_t i; packing.take(i); packing.finish()) plan.pack(i);
        const Numbers scratch = numbers(maps * plan.vectors() * LANES);
        packing.wait();
        for (int64_t i; blocks.take(i);) task(plan, i / plan.blocks(), i % plan.blocks() * LANES, scratch.get());
    });
}

}  // namespace
}  // namespace geofcs
