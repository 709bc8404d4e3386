// Depthwise convolutions: a block of channels at a time, whose rows lie widened and padded in the cache.
#pragma once
#include "chunks.h"

namespace geofcs {
namespace {

constexpr int64_t ROWS = 32;  // that a thread convolves, at least; `size` - 1 more are read
constexpr int64_t FETCHED_AHEAD = 8;

// LANES channels of a band of rows. Rows go round in `size` padded buffers.
template <class Number, int SIZE, class Finish, class Count>
void depthwise_band(
    const Pointwise& p, int64_t batch, int64_t first, int64_t last, int64_t channel, Count count, Finish finish
) {
    const int64_t area = p.height * p.width * p.channels, padded = (p.width + SIZE - 1) * LANES, half = SIZE / 2;
    const Number* x = static_cast<const Number*>(p.x[0]) + batch * area + channel;
    Number* y = static_cast<Number*>(p.y) + batch * area + channel;
    const Numbers scratch = numbers(SIZE * padded);
    for (int64_t i = 0; i < SIZE * padded; ++i) scratch[i] = 0;
    Floats weight[SIZE][SIZE];
    for (int i = 0; i < SIZE * SIZE; ++i) weight[i / SIZE][i % SIZE] = read(p.weight + i * p.channels + channel, count);
    const Floats bias = p.bias ? read(p.bias + channel, count) : Floats{};
    const auto buffer = [&](int64_t row) { return scratch.get() + (row + SIZE) % SIZE * padded; };
    const auto fetch = [&](int64_t row) {
        float* to = buffer(row) + half * LANES;
        const Number* from = x + row * p.width * p.channels;
        for (int64_t col = 0; col < p.width; ++col, to += LANES, from += p.channels) {
            __builtin_prefetch(from + FETCHED_AHEAD * p.channels);
            store(to, row >= 0 && row < p.height ? read(from, count) : Floats{});
        }
    };
    for (int64_t row = first - half; row < first + half; ++row) fetch(row);
    for (int64_t row = first; row < last; ++row) {
        fetch(row + half);
        const float* rows[SIZE];
        for (int i = 0; i < SIZE; ++i) rows[i] = buffer(row - half + i);
        Number* to = y + row * p.width * p.channels;
        for (int64_t col = 0; col < p.width; ++col, to += p.channels) {
            Floats sums[SIZE];
            for (int i = 0; i < SIZE; ++i) {
                sums[i] = i ? Floats{} : bias;
                for (int j = 0; j < SIZE; ++j) sums[i] += weight[i][j] * load(rows[i] + (col + j) * LANES);
            }
            for (int i = 1; i < SIZE; ++i) sums[0] += sums[i];
            write(to, finish(sums[0]), count);
        }
    }
}

template <class Number, int SIZE, class Finish>
void depthwise_of_size(const Pointwise& p, Finish finish) {
    const int64_t bands = (p.height + ROWS - 1) / ROWS, blocks = (p.channels + LANES - 1) / LANES;
    for_each(p.batch * bands * blocks, p.threads, [&](int64_t i) {
        const int64_t band = i / blocks % bands, last = (band + 1) * ROWS < p.height ? (band + 1) * ROWS : p.height;
        const int64_t batch = i / blocks / bands, channel = i % blocks * LANES;
        if (channel + LANES <= p.channels) depthwise_band<Number, SIZE>(p, batch, band * ROWS, last, channel, Whole{}, finish);
        else depthwise_band<Number, SIZE>(p, batch, band * ROWS, last, channel, int(p.channels - channel), finish);
    });
}

template <class Number, class Finish>
void depthwise(const Pointwise& p, Finish finish) {
    p.size == 3 ? depthwise_of_size<Number, 3>(p, finish) : depthwise_of_size<Number, 5>(p, finish);
}

}  // namespace
}  // namespace geofcs
