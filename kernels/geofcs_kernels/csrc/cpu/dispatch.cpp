// The library's functions: chooses the widest instruction set that this processor has.
#include "pointwise.h"
#include "scan.h"

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace geofcs {

#define GEOFCS_DECLARE(ISA)                        \
    int lanes_##ISA();                             \
    void forward_##ISA(const FourDirectionScan&);  \
    void backward_##ISA(const FourDirectionScan&); \
    void pointwise_##ISA(int64_t, const Pointwise&);

GEOFCS_DECLARE(baseline)
#ifdef GEOFCS_X86
GEOFCS_DECLARE(avx2)
GEOFCS_DECLARE(avx512)
#endif

struct Implementation {
    const char* name;
    int (*lanes)();
    void (*forward)(const FourDirectionScan&);
    void (*backward)(const FourDirectionScan&);
    void (*pointwise)(int64_t, const Pointwise&);
};

static Implementation choose() {
#ifdef GEOFCS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return {"AVX-512", lanes_avx512, forward_avx512, backward_avx512, pointwise_avx512};
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return {"AVX2", lanes_avx2, forward_avx2, backward_avx2, pointwise_avx2};
    }
#endif
    return {"baseline", lanes_baseline, forward_baseline, backward_baseline, pointwise_baseline};
}

static const Implementation CHOSEN = choose();

}  // namespace geofcs

extern "C" {
const char* geofcs_instructions() { return geofcs::CHOSEN.name; }
int geofcs_lanes() { return geofcs::CHOSEN.lanes(); }
void geofcs_forward(const FourDirectionScan* p) { geofcs::CHOSEN.forward(*p); }
void geofcs_backward(const FourDirectionScan* p) { geofcs::CHOSEN.backward(*p); }
// Freed memory stays with the process, for as long as it runs: 1 if this C library can be told so, else 0.
int geofcs_keep_memory() {
#if defined(__GLIBC__)
    return mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, INT32_MAX);
#else
    return 0;
#endif
}
void geofcs_pointwise(int64_t operation, const Pointwise* p) { geofcs::CHOSEN.pointwise(operation, *p); }
}
