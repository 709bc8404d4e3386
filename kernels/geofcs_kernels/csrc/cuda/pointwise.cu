// The pointwise kernels by name, compiled to a fat binary by nvcc, or one type at a time by NVRTC with GEOFCS_ONLY its
// number. The suffix _8 or _1 says how many channels a thread takes at once.
#include "pointwise.cuh"

using geofcs::PointwiseParams;

#define GEOFCS_KERNEL(NAME, THREADS, BODY) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ PointwiseParams p) { BODY; }

#define GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, KEPT)                                                                 \
    GEOFCS_KERNEL(layer_norm_##KEPT##_##SUFFIX, 256, (geofcs::layer_norm<NUMBER, NUMBER, WIDTH, KEPT, false>(p))) \
    GEOFCS_KERNEL(layer_norm_gelu_##KEPT##_##SUFFIX, 256, (geofcs::layer_norm<NUMBER, NUMBER, WIDTH, KEPT, true>(p)))

#define GEOFCS_WIDE(SUFFIX, NUMBER, WIDTH)                                                                  \
    GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 1) GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 2)                          \
    GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 4) GEOFCS_NORMS(SUFFIX, NUMBER, WIDTH, 8)                          \
    GEOFCS_KERNEL(pool_chunks_##SUFFIX, 256, (geofcs::pool_chunks<NUMBER, WIDTH>(p)))                      \
    GEOFCS_KERNEL(weigh_##SUFFIX, 256, (geofcs::weigh<NUMBER, WIDTH>(p)))                                  \
    GEOFCS_KERNEL(gated_relu_add_##SUFFIX, 256, (geofcs::gated_relu_add<NUMBER, WIDTH>(p)))                \
    GEOFCS_KERNEL(add_to_channels_##SUFFIX, 256, (geofcs::add_to_channels<NUMBER, WIDTH>(p)))              \
    GEOFCS_KERNEL(add_enlarged_##SUFFIX, 256, (geofcs::add_enlarged<NUMBER, WIDTH>(p)))                    \
    GEOFCS_KERNEL(weighed_add_relu_##SUFFIX, 256, (geofcs::weighed_add_relu<NUMBER, WIDTH>(p)))            \
    GEOFCS_KERNEL(join_dates_##SUFFIX, 256, (geofcs::join_dates<NUMBER, WIDTH>(p)))

#define GEOFCS_CONVOLUTIONS(SUFFIX, NUMBER, WIDTH)                                                                   \
    GEOFCS_KERNEL(depthwise3_silu_##SUFFIX, 128, (geofcs::depthwise<NUMBER, WIDTH, 3, 2, geofcs::After::SILU>(p)))  \
    GEOFCS_KERNEL(depthwise5_##SUFFIX, 128, (geofcs::depthwise<NUMBER, WIDTH, 5, 2, geofcs::After::NOTHING>(p)))

#define GEOFCS_KERNELS(SUFFIX, NUMBER)                                                    \
    GEOFCS_WIDE(8_##SUFFIX, NUMBER, 8)                                                    \
    GEOFCS_WIDE(1_##SUFFIX, NUMBER, 1)                                                    \
    GEOFCS_CONVOLUTIONS(8_##SUFFIX, NUMBER, 4)                                            \
    GEOFCS_CONVOLUTIONS(1_##SUFFIX, NUMBER, 1)                                            \
    GEOFCS_KERNEL(to_planes_##SUFFIX, 256, (geofcs::to_planes<NUMBER>(p)))                \
    GEOFCS_KERNEL(log_amplitudes_##SUFFIX, 256, (geofcs::log_amplitudes<NUMBER>(p)))      \
    GEOFCS_KERNEL(normalise_##SUFFIX, 256, (geofcs::normalise<NUMBER>(p)))

#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 0
GEOFCS_KERNELS(float32, geofcs::Float32)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 1
GEOFCS_KERNELS(bfloat16, geofcs::BFloat16)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 2
GEOFCS_KERNELS(float16, geofcs::Float16)
#endif

#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 3
GEOFCS_KERNEL(pool_rest, 256, geofcs::pool_rest(p))
GEOFCS_KERNEL(gate, 256, geofcs::gate(p))
GEOFCS_KERNEL(enlarge_logits, 256, geofcs::enlarge_logits(p))
#endif
