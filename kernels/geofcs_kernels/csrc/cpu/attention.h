// What attention over channels and positions is made of: pooling, weighing, and the gates of positions.
#pragma once
#include "chunks.h"

#include <vector>

namespace geofcs {
namespace {

constexpr int64_t POOLED = 256;  // positions summed one after the other

constexpr float LEAST = -__builtin_inff();

// Mean and maximum of maps side by side over positions: y (2, b, sum c); `statistics` (b, chunks, 2, sum c).
template <class Number>
void pools(const Pointwise& p) {
    const int64_t area = p.height * p.width, chunks = (area + POOLED - 1) / POOLED;
    for_each(p.batch * chunks, p.threads, [&](int64_t task) {
        const int64_t first = task % chunks * POOLED, last = first + POOLED < area ? first + POOLED : area;
        float* to = p.statistics + task * 2 * p.channels;
        for (int map = 0; map < 3 && p.widths[map]; to += p.widths[map++]) {
            const Number* x = static_cast<const Number*>(p.x[map]) + task / chunks * area * p.widths[map];
            for_channels(p.widths[map], [&](int64_t c, auto count) {
                Floats total{}, most = read(x + first * p.widths[map] + c, count);
                for (int64_t i = first; i < last; ++i) {
                    const Floats v = read(x + i * p.widths[map] + c, count);
                    total += v, most = most > v ? most : v;
                }
                write(to + c, total, count), write(to + p.channels + c, most, count);
            });
        }
    });
    float* y = static_cast<float*>(p.y);
    for (int64_t i = 0; i < p.batch * p.channels; ++i) {
        const float* from = p.statistics + i / p.channels * chunks * 2 * p.channels + i % p.channels;
        float total = 0, most = from[p.channels];
        for (int64_t j = 0; j < chunks; ++j, from += 2 * p.channels) {
            total += from[0], most = from[p.channels] > most ? from[p.channels] : most;
        }
        y[i] = total / area, y[p.batch * p.channels + i] = most;
    }
}

// Maps side by side times weights (b, sum c), and mean and maximum of the result over channels.
template <class Number>
void weigh(const Pointwise& p) {
    const int64_t area = p.height * p.width;
    for_chunks(p, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            Number* y = static_cast<Number*>(p.y) + i * p.channels;
            const float* weight = p.weight + i / area * p.channels;
            Floats total{}, most = splat(LEAST);
            for (int map = 0; map < 3 && p.widths[map]; y += p.widths[map], weight += p.widths[map++]) {
                const Number* x = static_cast<const Number*>(p.x[map]) + i * p.widths[map];
                for_channels(p.widths[map], [&](int64_t c, auto count) {
                    const Floats v = read(x + c, count) * read(weight + c, count);
                    write(y + c, v, count);
                    total += v;
                    most = larger(first_of(v, count, LEAST), most);
                });
            }
            p.statistics[2 * i] = sum(total) / p.channels, p.statistics[2 * i + 1] = largest(most);
        }
    });
}

// Sigmoid of a size x size convolution of `statistics` (b, h, w, 2) into y (b, h, w), along rows.
inline void gate(const Pointwise& p) {
    const int64_t half = p.size / 2, wide = p.width + p.size - 1 + LANES, high = p.height + p.size - 1;
    std::vector<float> planes(p.batch * high * 2 * wide);
    for (int64_t i = 0; i < positions(p) * 2; ++i) {
        const int64_t col = i / 2 % p.width, row = i / 2 / p.width, batch = row / p.height;
        planes[((batch * high + row % p.height + half) * 2 + i % 2) * wide + col + half] = p.statistics[i];
    }
    for_each(p.batch * p.height, p.threads, [&](int64_t row) {
        const float* from = &planes[(row / p.height * high + row % p.height) * 2 * wide];
        for_channels(p.width, [&](int64_t col, auto count) {
            Floats total = splat(p.bias[0]);
            for (int64_t k = 0; k < p.size * p.size * 2; ++k) {
                const int64_t i = k / 2 / p.size, j = k / 2 % p.size;
                total += p.weight[k] * load(from + (i * 2 + k % 2) * wide + col + j);
            }
            write(static_cast<float*>(p.y) + row * p.width + col, sigmoid(total), count);
        });
    });
}

}  // namespace
}  // namespace geofcs
