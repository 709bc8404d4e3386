// How pointwise work is cut up: chunks of positions among threads, channels among vectors.
#pragma once
#include "memory.h"
#include "parallel.h"
#include "pointwise.h"
#include "vectors.h"

namespace geofcs {
namespace {

constexpr int64_t CHUNK = 1 << 15;  // numbers that are worth handing to another thread

inline int64_t positions(const Pointwise& p) { return p.batch * p.height * p.width; }

// Calls body(first, last) for runs of positions, whose lengths depend on the map's shape alone.
template <class Body>
void for_chunks(const Pointwise& p, const Body& body) {
    const int64_t all = positions(p), length = p.channels < CHUNK ? CHUNK / p.channels : 1;
    for_each((all + length - 1) / length, p.threads, [&](int64_t i) {
        body(i * length, (i + 1) * length < all ? (i + 1) * length : all);
    });
}

// Calls body(first channel, count) for whole vectors, then for what is left; count is Whole or an int.
template <class Body>
inline void for_channels(int64_t channels, const Body& body) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES) body(c, Whole{});
    if (c < channels) body(c, static_cast<int>(channels - c));
}

}  // namespace
}  // namespace geofcs
