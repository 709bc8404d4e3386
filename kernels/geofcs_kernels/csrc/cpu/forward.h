// The four-direction scan of a block of channels: rows, columns, columns reversed, rows reversed. The first direction reads
// the map, the last writes it; between them a block lies in the cache.
#pragma once
#include "plan.h"

namespace geofcs {
namespace {

constexpr int AHEAD = 16;  // positions that are fetched before they are used: a map's are too far apart for the processor

// Whole blocks have LANES channels, the last one of a map may have fewer.
template <class Number, bool WHOLE>
void forward_block(const Plan& plan, int64_t batch, int64_t channel0, float* scratch) {
    const FourDirectionScan& p = plan.p;
    const int64_t channels = p.channels, map = batch * plan.length * p.channels + channel0;
    const int count = WHOLE ? LANES : static_cast<int>(p.channels - channel0);
    const Number* from = static_cast<const Number*>(p.x) + map;
    Number* to = static_cast<Number*>(p.y) + map;
    float *x = scratch, *y = scratch + plan.vectors() * LANES;
    const Floats skip = skips(p, channel0, count);
    const auto advance = [](Floats& h, const Step& now, Floats value) {
        h = now.gain * h + now.step * (value * now.B);
        return h * now.C;
    };
    Floats h{};
    walk(plan, batch, 0, Parameters(p, 0, channel0, count), [&](int64_t t, int64_t at, const Step& now) {
        const Number* here = from + t * channels;
        __builtin_prefetch(here + AHEAD * channels);
        const Floats value = WHOLE ? read(here) : read(here, count);
        store(x + at, value);
        store(y + at, skip * value + advance(h, now, value));
    });
    for (int k : {1, 3}) {
        h = Floats{};
        walk(plan, batch, k, Parameters(p, k, channel0, count), [&](int64_t, int64_t at, const Step& now) {
            store(y + at, load(y + at) + advance(h, now, load(x + at)));
        });
    }
    h = Floats{};
    walk(plan, batch, 2, Parameters(p, 2, channel0, count), [&](int64_t t, int64_t at, const Step& now) {
        Number* here = to + (plan.length - 1 - t) * channels;
        __builtin_prefetch(here - AHEAD * channels, 1);
        const Floats value = load(y + at) + advance(h, now, load(x + at));
        WHOLE ? write(here, value) : write(here, value, count);
    });
}

}  // namespace
}  // namespace geofcs
