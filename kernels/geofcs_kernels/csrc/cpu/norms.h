// Layer norms over channels.
#pragma once
#include "chunks.h"

#include <cmath>

namespace geofcs {
namespace {

constexpr float EPSILON = 1e-5f;

// One position; `wide` has room for the channels, filled up to whole vectors.
template <class Number, class Finish>
inline void norm_position(const Pointwise& p, const Number* x, Number* y, float* wide, Finish finish) {
    Floats total{}, squares{};
    for_channels(p.channels, [&](int64_t c, auto count) {
        Floats v = read(x + c, count);
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

template <class Number, class Finish>
void layer_norm(const Pointwise& p, Finish finish) {
    for_chunks(p, [&](int64_t first, int64_t last) {
        const Numbers wide = numbers(p.channels + LANES);
        for (int64_t i = first; i < last; ++i) {
            const int64_t at = i * p.channels;
            norm_position(p, static_cast<const Number*>(p.x[0]) + at, static_cast<Number*>(p.y) + at, wide.get(), finish);
        }
    });
}

}  // namespace
}  // namespace geofcs
