// The interface of the fused pointwise operations on the CPU; `cpu_pointwise.py` mirrors it. `geofcs.model.inference.pointwise`
// defines them. Maps are (b, h, w, c), contiguous, of one number type; everything else is float32.
#pragma once
#include <cstdint>

extern "C" {

struct Pointwise {
    const void* x[3];    // maps
    const void* coarse;  // (b, h2, w2, c), enlarged bilinearly
    const float *weight, *bias, *offset;
    const float* gates;  // (b, h, w)
    void* y;
    float* statistics;   // (b, h, w, 2), or partial sums, or a sum of maps
    int64_t widths[3];   // channels of each map
    int64_t type, batch, height, width, channels, coarse_height, coarse_width, size, threads;
};

enum Operation : int64_t {
    LAYER_NORM, LAYER_NORM_GELU, ADD_TO_CHANNELS, DEPTHWISE, DEPTHWISE_SILU, POOLS, WEIGH, GATE, GATED_RELU_ADD, GATED_ADD,
    GUIDED_ADD, WEIGHED_ADD_RELU, NORMALISE, ENLARGE_LOGITS, GELU, LAYER_NORM_OF_SUM
};
}
