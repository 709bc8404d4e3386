// The interface of the CPU kernels: plain C, called through ctypes. `cpu.py` mirrors the structs field by field.
#pragma once
#include <cstdint>

extern "C" {

// Maps are channels last and contiguous: (b, L, D) with L = H * W positions; factors (b, L, 4, R + 2) hold dt, B, C. x and
// y are of one number type, factors of one, see `numbers.h`; the backward pass takes float32 x. Gradients that are sums over
// channels or positions leave as partial sums, for the caller to add up.
struct FourDirectionScan {
    const void *x, *factors;
    const float *dt_weight, *dt_bias, *a_log, *skip;  // (4, D, R), (4, D), (4, D), (4, D)
    void* y;
    const float* grad_y;
    float* grad_x;
    float* grad_z;        // (4, b, L, D): gradient of the logits before softplus
    float* grad_bc;       // (blocks, b, L, 4, 2), blocks = ceil(D / lanes)
    float* channel_sums;  // (b, 9, D): d dt_bias of 4 directions, d a_log of 4, d skip
    int64_t batch, channels, height, width, rank, threads, x_type, factors_type;
};

// Any state size; channels in groups that share B and C. Real is float or double.
struct SelectiveScan {
    const void *u, *delta, *A, *B, *C, *D, *delta_bias;  // (b, d, l) (b, d, l) (d, N) (b, g, N, l) (b, g, N, l) (d) (d)
    void* y;                                             // (b, d, l)
    const void* grad_y;
    void *grad_u, *grad_delta, *grad_A;                  // (b, d, l) (b, d, l) (b, d, N)
    void *grad_B, *grad_C;                               // (b, d, N, l)
    void *grad_D, *grad_bias;                            // (b, d)
    int64_t batch, channels, groups, states, length, threads;
};
}
