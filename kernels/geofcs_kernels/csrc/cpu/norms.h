// Layer norms over channels.
#pragma once
#include "chunks.h"

#include <cmath>

namespace geofcs {
namespace {

constexpr float EPSILON = 1e-5f;

// One position, whose channels `x` gives; `wide` has room for them, filled up to whole vectors.
template <class Number, class From, class Finish>
inline void norm_position(const Pointwise& p, From x, Number* y, float* wide, Finish finish) {
    Floats total{}, squares{};
    for_channels(p.channels, [&](int64_t c, auto count) {
        Floats v = x(c, count);
        if (p.offset) v += read(p.offset + c, count);
        total += v;
        store(wide + c, v);
    });
    const float mean = sum(total) / p.channels;
    for_channels(p.channels, [&](int64_t c, auto count) {
        const Floats v = load(wide + c) - mean;
        store(wide + c, v);
        squares += first_of(v * v, count);
    });
    const float scale = 1 / std::sqrt(sum(squares) / p.channels + EPSILON);
    for_channels(p.channels, [&](int64_t c, auto count) {
        const Floats v = scale * load(wide + c) * read(p.weight + c, count) + read(p.bias + c, count);
        write(y + c, finish(v), count);
    });
}

// `from` gives what gives a position's channels.
template <class Number, class From, class Finish>
void norm_positions(const Pointwise& p, From from, Finish finish) {
    for_chunks(p, [&](int64_t first, int64_t last) {
        const Numbers wide = numbers(p.channels + LANES);
        for (int64_t i = first; i < last; ++i) {
            norm_position(p, from(i * p.channels), static_cast<Number*>(p.y) + i * p.channels, wide.get(), finish);
        }
    });
}

template <class Number, class Finish>
void layer_norm(const Pointwise& p, Finish finish) {
    norm_positions<Number>(p, [&](int64_t at) {
        return [x = static_cast<const Number*>(p.x[0]) + at](int64_t c, auto count) { return read(x + c, count); };
    }, finish);
}

// Of a sum in float32, `statistics`, to which the map is added first.
template <class Number, class Finish>
void layer_norm_of_sum(const Pointwise& p, Finish finish) {
    norm_positions<Number>(p, [&](int64_t at) {
        return [x = static_cast<const Number*>(p.x[0]) + at, total = p.statistics + at](int64_t c, auto count) {
            const Floats v = read(total + c, count) + read(x + c, count);
            write(total + c, v, count);
            return v;
        };
    }, finish);
}

}  // namespace
}  // namespace geofcs
