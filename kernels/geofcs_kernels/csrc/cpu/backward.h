// The gradients of the four-direction scan of a block of channels; see `csrc/cuda/backward.cuh` for the equations.
#pragma once
#include "plan.h"

namespace geofcs {
namespace {

// A block's channels of a float32 map, read into scratch or written from it.
struct Columns {
    const Plan& plan;
    int64_t map;
    int count;
    void read(const float* from, float* to) const {
        each([&](int64_t position, int64_t at) { store(to + at, geofcs::read(from + map + position, count)); });
    }
    void write(const float* from, float* to) const {
        each([&](int64_t position, int64_t at) { geofcs::write(to + map + position, load(from + at), count); });
    }
    template <class Body>
    void each(Body body) const {
        for (int64_t i = 0; i < plan.length; ++i) body(i * plan.p.channels, int64_t(plan.offsets[i]) * LANES);
    }
};

constexpr int64_t BACKWARD_MAPS = 6;

void backward_block(const Plan& plan, int64_t batch, int64_t channel0, float* scratch) {
    const FourDirectionScan& p = plan.p;
    const int64_t length = plan.length, size = plan.vectors() * LANES, block = channel0 / LANES;
    const int count = static_cast<int>(p.channels - channel0 < LANES ? p.channels - channel0 : LANES);
    const Columns columns{plan, batch * length * p.channels + channel0, count};
    float *x = scratch, *g = x + size, *dx = g + size, *dz = dx + size, *states = dz + size, *steps = states + size;
    columns.read(static_cast<const float*>(p.x), x);
    columns.read(p.grad_y, g);
    float* sums = p.channel_sums + batch * 9 * p.channels + channel0;
    const auto keep = [&](int which, Floats v) { write(sums + which * p.channels, v, count); };

    const Floats skip = skips(p, channel0, count);
    Floats of_skip{};
    columns.each([&](int64_t, int64_t at) {
        store(dx + at, skip * load(g + at));
        of_skip += load(x + at) * load(g + at);
    });
    keep(8, of_skip);
    for (int k = 0; k < 4; ++k) {
        const Parameters of(p, k, channel0, count);
        Floats h{}, mu{}, of_bias{}, of_rate{};
        walk(plan, batch, k, of, [&](int64_t t, int64_t at, const Step& now) {
            h = now.gain * h + now.step * (load(x + at) * now.B);
            store(states + t * LANES, h);
            store(steps + t * LANES, now.step);
        });
        for (int64_t t = length - 1; t >= 0; --t) {
            const int64_t offset = plan.offsets_of(k)[k < 2 ? t : length - 1 - t], at = offset * LANES;
            const float* bc = plan.factors_of(batch, k) + t * plan.numbers_per_step + p.rank;
            const float B = bc[0], C = bc[1];
            const Floats xt = load(x + at), gt = load(g + at), step = load(steps + t * LANES);
            const Floats before = t ? load(states + (t - 1) * LANES) : Floats{};
            const Floats lambda = gt * C + mu, scaled = lambda * step;
            mu = exp2_negative(of.rate * step) * lambda;
            const Floats through = mu * before;
            store(dx + at, load(dx + at) + scaled * B);
            of_rate += through * step;
            const Floats of_z = (of.rate * through + lambda * xt * (B * LOG2_E)) * sigmoid_from_softplus2(step);
            of_bias += of_z;
            store(dz + at, of_z);
            const int64_t position = offset - offset / plan.row;
            float* of_bc = p.grad_bc + (((block * p.batch + batch) * length + position) * 4 + k) * 2;
            of_bc[0] = sum(scaled * xt) * LN_2;
            of_bc[1] = sum(gt * load(states + t * LANES));
        }
        columns.write(dz, p.grad_z + k * p.batch * length * p.channels);
        keep(k, of_bias);
        keep(4 + k, of_rate * of.rate * LN_2);
    }
    columns.write(dx, p.grad_x);
}

}  // namespace
}  // namespace geofcs
