// The selective scan of any state size, one thread per channel: plain, for wide states and for checking.
#pragma once
#include "numbers.cuh"

namespace geofcs {

// As csrc/cpu/scan.h, float32. `scratch` holds the states (b, d, N, l) for the backward.
struct SelectiveParams {
    const float *u, *delta, *A, *B, *C, *D, *delta_bias;
    float* y;
    const float* grad_y;
    float *grad_u, *grad_delta, *grad_A, *grad_B, *grad_C, *grad_D, *grad_bias, *scratch;
    int64 batch, channels, groups, states, length;
};

__device__ inline float softplus(float v) { return fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v))); }

struct SelectiveChannel {
    const float *u, *delta, *A, *B, *C;
    float D, bias;
    int64 index, offset;
    __device__ SelectiveChannel(const SelectiveParams& p, int64 i) : index(i), offset(i * p.length) {
        const int64 channel = i % p.channels, batch = i / p.channels;
        const int64 shared = (batch * p.groups + channel / (p.channels / p.groups)) * p.states * p.length;
        u = p.u + offset, delta = p.delta + offset, A = p.A + channel * p.states, B = p.B + shared, C = p.C + shared;
        D = p.D[channel], bias = p.delta_bias[channel];
    }
};

__device__ inline void selective_forward(const SelectiveParams& p, int64 i) {
    const SelectiveChannel of(p, i);
    float* y = p.y + of.offset;
    for (int64 t = 0; t < p.length; ++t) y[t] = of.D * of.u[t];
    for (int64 n = 0; n < p.states; ++n) {
        float h = 0.0f;
        for (int64 t = 0; t < p.length; ++t) {
            const float step = softplus(of.delta[t] + of.bias);
            h = expf(step * of.A[n]) * h + step * of.B[n * p.length + t] * of.u[t];
            y[t] += of.C[n * p.length + t] * h;
        }
    }
}

__device__ inline void selective_backward(const SelectiveParams& p, int64 i) {
    const SelectiveChannel of(p, i);
    const float* g = p.grad_y + of.offset;
    float *du = p.grad_u + of.offset, *ddelta = p.grad_delta + of.offset;
    float dD = 0.0f, dbias = 0.0f;
    for (int64 t = 0; t < p.length; ++t) du[t] = of.D * g[t], ddelta[t] = 0.0f, dD += g[t] * of.u[t];
    for (int64 n = 0; n < p.states; ++n) {
        const int64 at = (of.index * p.states + n) * p.length;
        float *states = p.scratch + at, *dB = p.grad_B + at, *dC = p.grad_C + at;
        const float *B = of.B + n * p.length, *C = of.C + n * p.length;
        float h = 0.0f, mu = 0.0f, dA = 0.0f;
        for (int64 t = 0; t < p.length; ++t) {
            const float step = softplus(of.delta[t] + of.bias);
            states[t] = h = expf(step * of.A[n]) * h + step * B[t] * of.u[t];
        }
        for (int64 t = p.length - 1; t >= 0; --t) {
            const float step = softplus(of.delta[t] + of.bias), lambda = C[t] * g[t] + mu;
            mu = expf(step * of.A[n]) * lambda;
            const float through = t ? mu * states[t - 1] : 0.0f;
            dC[t] = g[t] * states[t], dB[t] = lambda * step * of.u[t];
            du[t] += lambda * step * B[t];
            ddelta[t] += of.A[n] * through + lambda * B[t] * of.u[t];
            dA += through * step;
        }
        p.grad_A[of.index * p.states + n] = dA;
    }
    for (int64 t = 0; t < p.length; ++t) {
        ddelta[t] *= -expm1f(-softplus(of.delta[t] + of.bias));
        dbias += ddelta[t];
    }
    p.grad_D[of.index] = dD, p.grad_bias[of.index] = dbias;
}

}  // namespace geofcs
