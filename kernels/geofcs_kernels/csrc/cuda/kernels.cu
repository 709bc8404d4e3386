// The kernels, by name: what the loader looks up. Compiled to a fat binary by nvcc, or one group at a time by NVRTC with
// GEOFCS_ONLY its number.
#include "backward.cuh"
#include "forward.cuh"

using geofcs::Pass;
using geofcs::ScanParams;

// Two blocks per multiprocessor (64 registers a thread) hide each other's barriers in the forward; the backward keeps
// four numbers per position in registers and runs one.
#define GEOFCS_KERNELS(SUFFIX, NUMBER)                                                                                  \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, 2) forward_whole_##SUFFIX(const __grid_constant__ ScanParams p) {   \
        geofcs::forward<NUMBER, Pass::WHOLE>(p);                                                                        \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, 2) forward_summary_##SUFFIX(const __grid_constant__ ScanParams p) { \
        geofcs::forward<NUMBER, Pass::SUMMARY>(p);                                                                      \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, 2) forward_apply_##SUFFIX(const __grid_constant__ ScanParams p) {   \
        geofcs::forward<NUMBER, Pass::APPLY>(p);                                                                        \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, 2) backward_summary_##SUFFIX(const __grid_constant__ ScanParams p) { \
        geofcs::backward_summary<NUMBER>(p);                                                                            \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(geofcs::THREADS, 1) backward_apply_##SUFFIX(const __grid_constant__ ScanParams p) {  \
        geofcs::backward_apply<NUMBER>(p);                                                                              \
    }

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
GEOFCS_KERNELS(bfloat16_small, geofcs::SmallRank<geofcs::BFloat16>)
#endif
#if !defined(GEOFCS_ONLY) || GEOFCS_ONLY == 4
GEOFCS_KERNELS(float16_small, geofcs::SmallRank<geofcs::Float16>)
#endif

extern "C" __global__ void __launch_bounds__(1024) carry_forward(const __grid_constant__ ScanParams p) {
    geofcs::carry_chunks<false>(p, p.state);
}

extern "C" __global__ void __launch_bounds__(1024) carry_backward(const __grid_constant__ ScanParams p) {
    geofcs::carry_chunks<true>(p, p.adjoint);
}
