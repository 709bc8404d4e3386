// The kernels that only training needs, by name, compiled as those of pointwise.cu are. "mixed" norms read float32 and
// write 16 bits; their gradients go the other way.
#include "gradients.cuh"

using geofcs::PointwiseParams;

#define GEOFCS_KERNEL(NAME, THREADS, BODY) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ PointwiseParams p) { BODY; }

#define GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, KEPT)                                          \
    GEOFCS_KERNEL(layer_norm_mixed_##KEPT##_##SUFFIX, 256,                                 \
                  (geofcs::layer_norm<geofcs::Float32, NUMBER, WIDTH, KEPT, false>(p)))    \
    GEOFCS_KERNEL(layer_norm_gradient_##KEPT##_##SUFFIX, 256,                              \
                  (geofcs::layer_norm_gradient<NUMBER, NUMBER, WIDTH, KEPT>(p)))           \
    GEOFCS_KERNEL(layer_norm_gradient_mixed_##KEPT##_##SUFFIX, 256,                        \
                  (geofcs::layer_norm_gradient<geofcs::Float32, NUMBER, WIDTH, KEPT>(p)))

#define GEOFCS_WIDE(SUFFIX, NUMBER, WIDTH)                                                                  \
    GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 1) GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 2)                          \
    GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 4) GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 8)                          \
    GEOFCS_KERNEL(channel_gradients_##SUFFIX, 256, (geofcs::channel_gradients<NUMBER, NUMBER, WIDTH>(p)))  \
    GEOFCS_KERNEL(channel_gradients_mixed_##SUFFIX, 256,                                                   \
                  (geofcs::channel_gradients<geofcs::Float32, NUMBER, WIDTH>(p)))

#define GEOFCS_CONVOLUTIONS(SUFFIX, NUMBER, WIDTH)                                                     \
    GEOFCS_KERNEL(depthwise3_gradient_##SUFFIX, 128,                                                   \
                  (geofcs::depthwise<NUMBER, WIDTH, 3, 2, geofcs::After::NOTHING>(p)))                 \
    GEOFCS_KERNEL(depthwise3_silu_gradient_##SUFFIX, 128,                                              \
                  (geofcs::depthwise<NUMBER, WIDTH, 3, 2, geofcs::After::SILU_GRADIENT>(p)))           \
    GEOFCS_KERNEL(filter_gradient_##SUFFIX, 128, (geofcs::filter_gradient<NUMBER, WIDTH, 3>(p)))

#define GEOFCS_KERNELS(SUFFIX, NUMBER)         \
    GEOFCS_WIDE(8_##SUFFIX, NUMBER, 8)         \
    GEOFCS_WIDE(1_##SUFFIX, NUMBER, 1)         \
    GEOFCS_CONVOLUTIONS(8_##SUFFIX, NUMBER, 4) \
    GEOFCS_CONVOLUTIONS(1_##SUFFIX, NUMBER, 1)

#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 0
GEOFCS_KERNELS(float32, geofcs::Float32)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 1
GEOFCS_KERNELS(bfloat16, geofcs::BFloat16)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 2
GEOFCS_KERNELS(float16, geofcs::Float16Gradients)
#endif
