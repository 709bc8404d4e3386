// Operations on every number of a map, some with a coarser map enlarged bilinearly.
#pragma once
#include "chunks.h"

namespace geofcs {
namespace {

// Bilinear sampling without aligned corners, as torch defines it.
struct Between {
    int64_t low, high;
    float share;  // of `high`
    Between(int64_t index, int64_t from, int64_t to) {
        const float scale = static_cast<float>(from) / static_cast<float>(to);
        const float at = scale * (static_cast<float>(index) + 0.5f) - 0.5f, inside = at > 0 ? at : 0;
        low = static_cast<int64_t>(inside) < from - 1 ? static_cast<int64_t>(inside) : from - 1;
        high = low + 1 < from ? low + 1 : low;
        share = inside - static_cast<float>(low);
    }
};

// The coarse map at a position of the fine one.
template <class Number>
struct Sample {
    const Number *a, *b, *c, *d;
    float across, down;
    Sample(const Pointwise& p, int64_t position) {
        const int64_t row = position / p.width, batch = row / p.height;
        const Between r(row % p.height, p.coarse_height, p.height), s(position % p.width, p.coarse_width, p.width);
        const Number* upper = static_cast<const Number*>(p.coarse) + (batch * p.coarse_height + r.low) * p.coarse_width * p.channels;
        const Number* lower = upper + (r.high - r.low) * p.coarse_width * p.channels;
        a = upper + s.low * p.channels, b = upper + s.high * p.channels;
        c = lower + s.low * p.channels, d = lower + s.high * p.channels;
        across = s.share, down = r.share;
    }
    template <class Count>
    Floats at(int64_t channel, Count count) const {
        const Floats left = read(a + channel, count), right = read(c + channel, count);
        const Floats above = left + across * (read(b + channel, count) - left);
        const Floats below = right + across * (read(d + channel, count) - right);
        return above + down * (below - above);
    }
};

// y = of(position, channel, count).
template <class Number, class Of>
void elementwise(const Pointwise& p, const Of& of) {
    for_chunks(p, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            Number* y = static_cast<Number*>(p.y) + i * p.channels;
            for_channels(p.channels, [&](int64_t c, auto count) { write(y + c, of(i, c, count), count); });
        }
    });
}

// y = of(position, channel, count) + the coarse map, if there is one.
template <class Number, class Of>
void elementwise_and_coarse(const Pointwise& p, const Of& of) {
    if (!p.coarse) return elementwise<Number>(p, of);
    for_chunks(p, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const Sample<Number> coarse(p, i);
            Number* y = static_cast<Number*>(p.y) + i * p.channels;
            for_channels(p.channels, [&](int64_t c, auto count) { write(y + c, of(i, c, count) + coarse.at(c, count), count); });
        }
    });
}

// Map number `which` at a position.
template <class Number, class Count>
inline Floats at(const Pointwise& p, int which, int64_t i, int64_t c, Count count) {
    return read(static_cast<const Number*>(p.x[which]) + i * p.channels + c, count);
}

template <class Number>
void add_to_channels(const Pointwise& p) {
    elementwise<Number>(p, [&](int64_t i, int64_t c, auto n) { return at<Number>(p, 0, i, c, n) + read(p.offset + c, n); });
}

template <class Number>
void gelu(const Pointwise& p) {
    elementwise<Number>(p, [&](int64_t i, int64_t c, auto n) { return gelu(at<Number>(p, 0, i, c, n)); });
}

template <class Number>
void gated_relu_add(const Pointwise& p) {
    elementwise<Number>(p, [&](int64_t i, int64_t c, auto n) {
        return positive(at<Number>(p, 0, i, c, n) * p.gates[i] + read(p.bias + c, n)) + at<Number>(p, 1, i, c, n);
    });
}

template <class Number>
void gated_add(const Pointwise& p) {
    elementwise_and_coarse<Number>(p, [&](int64_t i, int64_t c, auto n) { return at<Number>(p, 0, i, c, n) * p.gates[i]; });
}

template <class Number>
void guided_add(const Pointwise& p) {
    elementwise_and_coarse<Number>(p, [&](int64_t i, int64_t c, auto n) {
        const Floats v = at<Number>(p, 0, i, c, n);
        return p.x[1] ? v * sigmoid(at<Number>(p, 1, i, c, n)) : v;
    });
}

template <class Number>
void weighed_add_relu(const Pointwise& p) {
    const int64_t area = p.height * p.width;
    elementwise<Number>(p, [&](int64_t i, int64_t c, auto n) {
        const Floats branch = at<Number>(p, 1, i, c, n) + read(p.bias + c, n);
        return positive(at<Number>(p, 0, i, c, n) + branch * read(p.weight + i / area * p.channels + c, n));
    });
}

}  // namespace
}  // namespace geofcs
