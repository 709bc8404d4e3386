// The selective scan of any state size, one channel after the other: plain, for wide states and for checking.
#include "parallel.h"
#include "scan.h"

#include <cmath>
#include <vector>

namespace geofcs {
namespace {

template <class Real>
Real softplus(Real v) {
    return v > 0 ? v + std::log1p(std::exp(-v)) : std::log1p(std::exp(v));
}

// Pointers of one batch element and channel.
template <class Real>
struct Channel {
    const Real *u, *delta, *A, *B, *C, *g;
    Real D, bias;
    int64_t offset, states_offset;

    Channel(const SelectiveScan& p, int64_t batch, int64_t channel) {
        const int64_t index = batch * p.channels + channel, group = channel / (p.channels / p.groups);
        offset = index * p.length, states_offset = index * p.states;
        u = static_cast<const Real*>(p.u) + offset, delta = static_cast<const Real*>(p.delta) + offset;
        A = static_cast<const Real*>(p.A) + channel * p.states;
        B = static_cast<const Real*>(p.B) + (batch * p.groups + group) * p.states * p.length;
        C = static_cast<const Real*>(p.C) + (batch * p.groups + group) * p.states * p.length;
        g = p.grad_y ? static_cast<const Real*>(p.grad_y) + offset : nullptr;
        D = static_cast<const Real*>(p.D)[channel], bias = static_cast<const Real*>(p.delta_bias)[channel];
    }
};

template <class Real>
void forward_channel(const SelectiveScan& p, int64_t batch, int64_t channel) {
    const Channel<Real> of(p, batch, channel);
    Real* y = static_cast<Real*>(p.y) + of.offset;
    std::vector<Real> h(p.states, Real(0));
    for (int64_t t = 0; t < p.length; ++t) {
        const Real step = softplus(of.delta[t] + of.bias);
        Real total = of.D * of.u[t];
        for (int64_t n = 0; n < p.states; ++n) {
            h[n] = std::exp(step * of.A[n]) * h[n] + step * of.B[n * p.length + t] * of.u[t];
            total += of.C[n * p.length + t] * h[n];
        }
        y[t] = total;
    }
}

template <class Real>
void backward_channel(const SelectiveScan& p, int64_t batch, int64_t channel) {
    const Channel<Real> of(p, batch, channel);
    Real *du = static_cast<Real*>(p.grad_u) + of.offset, *ddelta = static_cast<Real*>(p.grad_delta) + of.offset;
    Real dD = 0, dbias = 0;
    std::vector<Real> steps(p.length), states(p.length);
    for (int64_t t = 0; t < p.length; ++t) {
        steps[t] = softplus(of.delta[t] + of.bias);
        du[t] = of.D * of.g[t], ddelta[t] = 0, dD += of.g[t] * of.u[t];
    }
    for (int64_t n = 0; n < p.states; ++n) {
        const int64_t at = (of.states_offset + n) * p.length;
        Real *dB = static_cast<Real*>(p.grad_B) + at, *dC = static_cast<Real*>(p.grad_C) + at;
        const Real *B = of.B + n * p.length, *C = of.C + n * p.length;
        Real h = 0, mu = 0, dA = 0;
        for (int64_t t = 0; t < p.length; ++t) {
            h = std::exp(steps[t] * of.A[n]) * h + steps[t] * B[t] * of.u[t];
            states[t] = h;
        }
        for (int64_t t = p.length - 1; t >= 0; --t) {
            const Real lambda = C[t] * of.g[t] + mu;
            mu = std::exp(steps[t] * of.A[n]) * lambda;
            const Real through = t ? mu * states[t - 1] : Real(0);
            dC[t] = of.g[t] * states[t], dB[t] = lambda * steps[t] * of.u[t];
            du[t] += lambda * steps[t] * B[t];
            ddelta[t] += of.A[n] * through + lambda * B[t] * of.u[t];
            dA += through * steps[t];
        }
        static_cast<Real*>(p.grad_A)[of.states_offset + n] = dA;
    }
    for (int64_t t = 0; t < p.length; ++t) {
        ddelta[t] *= -std::expm1(-steps[t]);
        dbias += ddelta[t];
    }
    static_cast<Real*>(p.grad_D)[batch * p.channels + channel] = dD;
    static_cast<Real*>(p.grad_bias)[batch * p.channels + channel] = dbias;
}

template <class Real, bool BACKWARD>
void run(const SelectiveScan& p) {
    for_each(p.batch * p.channels, p.threads, [&](int64_t i) {
        if (BACKWARD) backward_channel<Real>(p, i / p.channels, i % p.channels);
        else forward_channel<Real>(p, i / p.channels, i % p.channels);
    });
}

}  // namespace
}  // namespace geofcs

extern "C" {
void geofcs_selective_forward_float32(const SelectiveScan* p) { geofcs::run<float, false>(*p); }
void geofcs_selective_forward_float64(const SelectiveScan* p) { geofcs::run<double, false>(*p); }
void geofcs_selective_backward_float32(const SelectiveScan* p) { geofcs::run<float, true>(*p); }
void geofcs_selective_backward_float64(const SelectiveScan* p) { geofcs::run<double, true>(*p); }
}
