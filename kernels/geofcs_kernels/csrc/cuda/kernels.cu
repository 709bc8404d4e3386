// The kernels, by name: what the loader looks up. Compiled to a fat binary by nvcc, or one type at a time by NVRTC with
// GEOFCS_ONLY its number.
#include "backward.cuh"
#include "forward.cuh"
#include "selective.cuh"
#include "usual_backward.cuh"
#include "usual_finish.cuh"

using geofcs::Pass;
using geofcs::ScanParams;

// GRADIENTS: what the second backward pass writes; it gains nothing from `Fast`, but would spill registers.
// Two blocks on a multiprocessor (64 registers a thread) hide each other's barriers; the second backward pass keeps two
// numbers per position in registers and runs one.
#define GEOFCS_KERNEL(NAME, BLOCKS, BODY) \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, BLOCKS) NAME(const __grid_constant__ ScanParams p) { BODY; }

#define GEOFCS_KERNELS(SUFFIX, NUMBER, GRADIENTS)                                             \
    GEOFCS_KERNEL(forward_whole_##SUFFIX, 2, (geofcs::forward<NUMBER, Pass::WHOLE>(p)))       \
    GEOFCS_KERNEL(forward_cluster_##SUFFIX, 2, (geofcs::forward<NUMBER, Pass::CLUSTER>(p)))   \
    GEOFCS_KERNEL(forward_summary_##SUFFIX, 2, (geofcs::forward<NUMBER, Pass::SUMMARY>(p)))   \
    GEOFCS_KERNEL(forward_apply_##SUFFIX, 2, (geofcs::forward<NUMBER, Pass::APPLY>(p)))       \
    GEOFCS_KERNEL(backward_summary_##SUFFIX, 2, (geofcs::backward_summary<NUMBER>(p)))        \
    GEOFCS_KERNEL(backward_apply_##SUFFIX, 1, (geofcs::backward_apply<GRADIENTS>(p)))

// The usual case: two blocks of 8 warps with 128 registers a thread; three where 80 are enough. Empty, and never
// launched, below compute capability 9.0.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define GEOFCS_USUAL_BODY(BODY)
#else
#define GEOFCS_USUAL_BODY(BODY) BODY;
#endif
#define GEOFCS_USUAL_KERNEL(NAME, BLOCKS, BODY)                                       \
    extern "C" __global__ void __launch_bounds__(geofcs::usual::THREADS, BLOCKS)      \
    NAME(const __grid_constant__ geofcs::usual::UsualParams p) {                      \
        GEOFCS_USUAL_BODY(BODY)                                                       \
    }

#define GEOFCS_USUAL_KERNELS(SUFFIX, NUMBER, GRADIENTS)                                                               \
    extern "C" __global__ void prepare_##SUFFIX(const __grid_constant__ geofcs::usual::Parameters p) {                \
        geofcs::usual::prepare<NUMBER>(p, blockIdx.x * blockDim.x + threadIdx.x);                                     \
    }                                                                                                                 \
    extern "C" __global__ void join_factor_parts_##SUFFIX(const __grid_constant__ geofcs::usual::FactorParts p) {     \
        geofcs::usual::join_factor_parts<GRADIENTS>(p);                                                               \
    }                                                                                                                 \
    GEOFCS_USUAL_KERNEL(usual_forward_whole_##SUFFIX, 2, (geofcs::usual::forward<NUMBER, Pass::WHOLE>(p)))            \
    GEOFCS_USUAL_KERNEL(usual_forward_cluster_##SUFFIX, 2, (geofcs::usual::forward<NUMBER, Pass::CLUSTER>(p)))        \
    GEOFCS_USUAL_KERNEL(usual_forward_summary_##SUFFIX, 3, (geofcs::usual::forward<NUMBER, Pass::SUMMARY>(p)))        \
    GEOFCS_USUAL_KERNEL(usual_forward_apply_##SUFFIX, 2, (geofcs::usual::forward<NUMBER, Pass::APPLY>(p)))            \
    GEOFCS_USUAL_KERNEL(usual_backward_summary_##SUFFIX, 3, (geofcs::usual::backward_summary<NUMBER>(p)))             \
    GEOFCS_USUAL_KERNEL(usual_backward_apply_##SUFFIX, 2, (geofcs::usual::backward_apply<GRADIENTS>(p)))

#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 0
GEOFCS_KERNELS(float32, geofcs::Float32, geofcs::Float32)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 1
GEOFCS_KERNELS(bfloat16, geofcs::BFloat16, geofcs::BFloat16)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 2
GEOFCS_KERNELS(float16, geofcs::Float16, geofcs::Float16Gradients)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 3
GEOFCS_KERNELS(bfloat16_fast, geofcs::Fast<geofcs::BFloat16>, geofcs::BFloat16)
GEOFCS_USUAL_KERNELS(bfloat16, geofcs::BFloat16, geofcs::BFloat16)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 4
GEOFCS_KERNELS(float16_fast, geofcs::Fast<geofcs::Float16>, geofcs::Float16Gradients)
GEOFCS_USUAL_KERNELS(float16, geofcs::Float16, geofcs::Float16Gradients)
#endif

extern "C" __global__ void __launch_bounds__(1024, 1) carry_forward(const __grid_constant__ ScanParams p) {
    geofcs::carry_chunks(p, p.state, false, blockIdx.x);
}

// Both recurrences, every second block one of them.
extern "C" __global__ void __launch_bounds__(1024, 1) carry_both(const __grid_constant__ ScanParams p) {
    const bool against = blockIdx.x % 2;
    geofcs::carry_chunks(p, against ? p.adjoint : p.state, against, blockIdx.x / 2);
}

extern "C" __global__ void sum_rows(const __grid_constant__ geofcs::usual::Rows p) { geofcs::usual::sum_rows(p); }

#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 0
extern "C" __global__ void selective_forward(const __grid_constant__ geofcs::SelectiveParams p) {
    const geofcs::int64 i = static_cast<geofcs::int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < p.batch * p.channels) geofcs::selective_forward(p, i);
}

extern "C" __global__ void selective_backward(const __grid_constant__ geofcs::SelectiveParams p) {
    const geofcs::int64 i = static_cast<geofcs::int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < p.batch * p.channels) geofcs::selective_backward(p, i);
}
#endif
