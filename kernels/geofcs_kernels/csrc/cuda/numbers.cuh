// Number formats and special functions. No CUDA headers: the same text must compile with nvcc and with NVRTC.
#pragma once

namespace geofcs {

using int64 = long long;
static_assert(sizeof(int64) == 8, "offsets are 64-bit");

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;
__device__ inline float minus_infinity() { return __int_as_float(0xff800000); }

struct Float32 {
    using Raw = float;
    static constexpr int DT_PART = 16, DT_PITCH = 20;  // ranks that a warp stages at once, numbers from row to row
    static constexpr bool FAST = false;
    static constexpr bool PACKED = false;  // two numbers in a 32-bit register, products on tensor cores
    static __device__ float widen(Raw v) { return v; }
    static __device__ Raw narrow(float v) { return v; }
};

struct BFloat16 {
    using Raw = unsigned short;
    static constexpr int DT_PART = 32, DT_PITCH = 40;
    static constexpr bool FAST = false;
    static constexpr bool PACKED = true;
    static __device__ float widen(Raw v) { return __uint_as_float(static_cast<unsigned>(v) << 16); }
    static __device__ float widen_low(unsigned v) { return __uint_as_float(v << 16); }
    static __device__ float widen_high(unsigned v) { return __uint_as_float(v & 0xffff0000u); }
    static __device__ unsigned narrow_pair(float low, float high) {
        unsigned packed;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
        return packed;
    }
    static __device__ Raw narrow(float v) { return static_cast<Raw>(narrow_pair(v, 0.0f)); }
    // c (16 x 8) += a (16 x 16) b (16 x 8); fragments as the PTX manual lays them out.
    static __device__ void multiply_add(float* c, const unsigned (&a)[4], unsigned b0, unsigned b1) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    // c (16 x 8) += a (16 x 8) b (8 x 8). volatile: equal products are not merged into one and copies of it.
    static __device__ void multiply_add_8(float* c, unsigned a0, unsigned a1, unsigned b) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(b));
    }
};

// What exceeds the largest number becomes that, not infinite; what is no number stays none.
struct Float16 {
    using Raw = unsigned short;
    static constexpr int DT_PART = 32, DT_PITCH = 40;
    static constexpr bool FAST = false;
    static constexpr bool PACKED = true;
    static __device__ float widen(Raw v) {
        float wide;
        asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v));
        return wide;
    }
    static __device__ float widen_low(unsigned v) { return widen(static_cast<Raw>(v)); }
    static __device__ float widen_high(unsigned v) { return widen(static_cast<Raw>(v >> 16)); }
    static __device__ Raw narrow(float v) {
        Raw raw;
        asm("cvt.rn.satfinite.f16.f32 %0, %1;" : "=h"(raw) : "f"(v));
        return raw;
    }
    static __device__ unsigned narrow_pair(float low, float high) {
        unsigned packed;
        asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
        return packed;
    }
    static __device__ void multiply_add(float* c, const unsigned (&a)[4], unsigned b0, unsigned b1) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    // c (16 x 8) += a (16 x 8) b (8 x 8). volatile: equal products are not merged into one and copies of it.
    static __device__ void multiply_add_8(float* c, unsigned a0, unsigned a1, unsigned b) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(b));
    }
};

// Gradients do become infinite: that is how a loss scale learns that it is too large.
struct Float16Gradients : Float16 {
    static __device__ Raw narrow(float v) {
        Raw raw;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(raw) : "f"(v));
        return raw;
    }
    static __device__ unsigned narrow_pair(float low, float high) {
        unsigned packed;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
        return packed;
    }
};

// The usual case, which has kernels of its own: R a multiple of 8 up to 32, aligned factors padded to R + 8 numbers per
// direction, the weights of all directions in shared memory at once. A third fewer instructions than the general ones.
template <class Number>
struct Fast : Number {
    static constexpr bool FAST = true;
};

__device__ inline float exp2_fast(float v) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

__device__ inline float log2_fast(float v) {
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

// log2(1 + 2^z): softplus with the logarithm to base 2 on both sides, so that exp and log are one instruction each.
// The hardware logarithm errs by 2^-22 absolutely, enough for results of 16 bits, which also end at 126 (a step of 87).
// Steps are mostly small, and of those that error is a large part: float32 takes max(z, 0) + log2(1 + u), u = 2^-|z| in
// (0, 1], the logarithm as u times a polynomial (that of csrc/cpu/vectors.h), to 5e-7 of the result, and has no end.
template <class Number>
__device__ inline float softplus2(float z) {
    if constexpr (Number::PACKED) {
        return log2_fast(1.0f + exp2_fast(fminf(z, 126.0f)));
    } else {
        const float u = exp2_fast(-fabsf(z));
        float p = -0.012370643205940723f;
        p = p * u + 0.06378759443759918f;
        p = p * u - 0.15559996664524078f;
        p = p * u + 0.25617969036102295f;
        p = p * u - 0.35345467925071716f;
        p = p * u + 0.4800737500190735f;
        p = p * u - 0.7213107347488403f;
        p = p * u + 1.4426947832107544f;
        return fmaxf(z, 0.0f) + u * p;
    }
}

// 1 - 2^-s = sigmoid(z) for s = softplus2(z). In float32 a series up to v = 1/2, where the difference would cancel.
template <class Number>
__device__ inline float sigmoid_from_softplus2(float s) {
    const float plain = 1.0f - exp2_fast(-s);
    if constexpr (Number::PACKED) return plain;
    const float v = LN_2 * s;
    float p = 1.0f - v * (1.0f / 7);
    p = 1.0f - v * (1.0f / 6) * p;
    p = 1.0f - v * (1.0f / 5) * p;
    p = 1.0f - v * (1.0f / 4) * p;
    p = 1.0f - v * (1.0f / 3) * p;
    p = 1.0f - v * (1.0f / 2) * p;
    return v < 0.5f ? v * p : plain;
}

}  // namespace geofcs
