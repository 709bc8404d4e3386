// Vectors of float32 as wide as the instruction set's, and the elementary functions of the scan on them. Compilers: GCC
// and Clang, for their vector types.
#pragma once
#include "numbers.h"

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include "tables.h"
#include <immintrin.h>
#endif

namespace geofcs {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef uint16_t HalfInts __attribute__((vector_size(LANES * 2)));

inline Floats splat(float v) { return Floats{} + v; }
inline Floats load(const float* from) {
    Floats v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
inline void store(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
// v where it is above 0, and what is not a number.
inline Floats positive(Floats v) { return v <= 0.0f ? Floats{} : v; }

// Over all lanes.
#if defined(__AVX512F__)
inline float sum(Floats v) { return _mm512_reduce_add_ps((__m512)v); }
inline float largest(Floats v) { return _mm512_reduce_max_ps((__m512)v); }
#else
inline float sum(Floats v) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += v[i];
    return total;
}
inline float largest(Floats v) {
    float found = v[0];
    for (int i = 1; i < LANES; ++i) found = v[i] > found ? v[i] : found;
    return found;
}
#endif

// All lanes.
inline Floats read(const float* from) { return load(from); }
inline void write(float* to, Floats v) { store(to, v); }
inline Floats widen(HalfInts v) { return (Floats)(__builtin_convertvector(v, Ints) << 16); }
inline HalfInts narrow(Floats v) {
    const Ints bits = (Ints)v, rounded = (v == v ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000) >> 16;
#if defined(__AVX512F__)
    return (HalfInts)_mm512_cvtepi32_epi16((__m512i)rounded);
#else
    return __builtin_convertvector(rounded, HalfInts);
#endif
}
inline Floats read(const BFloat16* from) {
    HalfInts v;
    std::memcpy(&v, from, sizeof v);
    return widen(v);
}
inline void write(BFloat16* to, Floats v) {
    const HalfInts halves = narrow(v);
    std::memcpy(to, &halves, sizeof halves);
}

// The first `count` lanes; the others are zero, or not written. Eight, what multiples of eight leave, need no mask: stores
// with masks take several times as long.
#if defined(__AVX512F__)
inline Floats read(const float* from, int count) { return (Floats)_mm512_maskz_loadu_ps((1u << count) - 1, from); }
inline void write(float* to, Floats v, int count) {
    if (count == 8) return _mm256_storeu_ps(to, _mm512_castps512_ps256((__m512)v));
    _mm512_mask_storeu_ps(to, (1u << count) - 1, (__m512)v);
}
inline __m256i read_halves(const void* from, int count) { return _mm256_maskz_loadu_epi16((1u << count) - 1, from); }
inline void write_halves(void* to, __m256i v, int count) {
    if (count == 8) return _mm_storeu_si128(static_cast<__m128i*>(to), _mm256_castsi256_si128(v));
    _mm256_mask_storeu_epi16(to, (1u << count) - 1, v);
}
inline Floats read(const BFloat16* from, int count) { return widen((HalfInts)read_halves(from, count)); }
inline void write(BFloat16* to, Floats v, int count) { write_halves(to, (__m256i)narrow(v), count); }
inline Floats read(const Float16* from, int count) { return (Floats)_mm512_cvtph_ps(read_halves(from, count)); }
inline void write(Float16* to, Floats v, int count) {
    const __m512 most = _mm512_set1_ps(LARGEST_FLOAT16), low = _mm512_min_ps(most, (__m512)v);
    write_halves(to, _mm512_cvtps_ph(_mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), low), _MM_FROUND_TO_NEAREST_INT), count);
}
#else
template <class Number>
inline Floats read(const Number* from, int count) {
    Floats v{};
    for (int i = 0; i < count; ++i) v[i] = widen(from[i]);
    return v;
}
template <class Number>
inline void write(Number* to, Floats v, int count) {
    for (int i = 0; i < count; ++i) narrow(v[i], to[i]);
}
#endif
inline Floats read(const Float16* from) { return read(from, LANES); }
inline void write(Float16* to, Floats v) { write(to, v, LANES); }

// As a count: all lanes, known when this is compiled.
struct Whole {};
template <class Number>
inline Floats read(const Number* from, Whole) {
    return read(from);
}
template <class Number>
inline void write(Number* to, Floats v, Whole) {
    write(to, v);
}

// `other` in all lanes but the first `count`.
inline Floats first_of(Floats v, Whole, float = 0) { return v; }
inline Floats first_of(Floats v, int count, float other = 0) {
#if defined(__AVX512F__)
    return (Floats)_mm512_mask_mov_ps(_mm512_set1_ps(other), (1u << count) - 1, (__m512)v);
#else
    for (int i = count; i < LANES; ++i) v[i] = other;
    return v;
#endif
}

#if defined(__AVX512F__)

// `_mm512_max_ps` gives its second argument if either is not a number, so that these pass on what is none.

inline Floats look_up(const Table& table, __m512i index) {
    return (Floats)_mm512_permutex2var_ps(_mm512_load_ps(table.low()), index, _mm512_load_ps(table.high()));
}

// 2^v for v <= 0, relative error 2e-7: the nearest multiple of 1/32 from a table, the rest as a polynomial. Adding
// 1.5 * 2^18 leaves that multiple, counted in 1/32, in the lowest bits.
inline Floats exp2_negative(Floats v) {
    v = (Floats)_mm512_max_ps(_mm512_set1_ps(-126.0f), (__m512)v);
    const Floats shifted = v + 393216.0f, f = v - (shifted - 393216.0f);
    const Floats scale = (Floats)((Ints)look_up(POWERS, (__m512i)shifted) + ((Ints)shifted << 18));
    return scale + scale * (f * (0.6931573152542114f + 0.24022874236106873f * f));
}

// log2(1 + 2^z), relative error 4e-7: max(z, 0) + log2(1 + u), u = 2^-|z| in (0, 1], with the multiple c of 1/32 nearest to
// u (31/32 at most) log2(1 + c) from a table, and a polynomial of (u - c) / (1 + c).
inline Floats softplus2(Floats z) {
    const Floats u = exp2_negative((Floats)((Ints)z | INT32_MIN));
    const Floats shifted = (Floats)_mm512_min_ps((__m512)u, _mm512_set1_ps(0.96875f)) + 393216.0f;
    const Floats r = (u - (shifted - 393216.0f)) * look_up(RECIPROCALS, (__m512i)shifted);
    const Floats p = 1.4426950216293335f + r * (-0.7214146256446838f + r * 0.4808312654495239f);
    const Floats base = (Floats)_mm512_max_ps(_mm512_setzero_ps(), (__m512)z) + look_up(LOGARITHMS, (__m512i)shifted);
    return base + r * p;
}

#else

// 2^v for v <= 0, relative error 2.5e-7. Adding 1.5 * 2^23 leaves the nearest integer in the lowest bits.
inline Floats exp2_negative(Floats v) {
    v = larger(v, splat(-126.0f));
    const Floats shifted = v + 12582912.0f, f = v - (shifted - 12582912.0f);
    Floats p = splat(0.0013400432653725147f);
    p = p * f + 0.009676037356257439f;
    p = p * f + 0.05550327152013779f;
    p = p * f + 0.2402210682630539f;
    p = p * f + 0.6931471824645996f;
    p = p * f + 1.0f;
    return (Floats)((Ints)p + ((Ints)shifted << 23));
}

// log2(1 + 2^z), relative error 3e-7: max(z, 0) + log2(1 + u), u = 2^-|z| in (0, 1], the logarithm as u times a polynomial.
inline Floats softplus2(Floats z) {
    const Floats u = exp2_negative(z > 0.0f ? -z : z);
    Floats p = splat(-0.012370643205940723f);
    p = p * u + 0.06378759443759918f;
    p = p * u - 0.15559996664524078f;
    p = p * u + 0.25617969036102295f;
    p = p * u - 0.35345467925071716f;
    p = p * u + 0.4800737500190735f;
    p = p * u - 0.7213107347488403f;
    p = p * u + 1.4426947832107544f;
    return larger(z, Floats{}) + u * p;
}

#endif

// 1 / (1 + e^-v).
inline Floats sigmoid(Floats v) {
    const Floats u = exp2_negative(LOG2_E * (v > 0.0f ? -v : v));
    return (v > 0.0f ? splat(1.0f) : u) / (1.0f + u);
}

// v (1 + erf(v / sqrt(2))) / 2, by Abramowitz and Stegun's 7.1.26: off by 2e-7 |v| at most.
inline Floats gelu(Floats v) {
    const Floats size = v > 0.0f ? v : -v, t = 1.0f / (1.0f + 0.23164189f * size);
    const Floats p = 0.127414796f + t * (-0.142248368f + t * (0.7107068705f + t * (-0.7265760135f + t * 0.5307027145f)));
    const Floats beyond = t * p * exp2_negative((-0.5f * LOG2_E) * v * v);
    return (v > 0.0f ? v : Floats{}) - size * beyond;
}

// 1 - 2^-s = sigmoid(z) for s = softplus2(z); a series up to v = 1/2, where the difference would cancel.
inline Floats sigmoid_from_softplus2(Floats s) {
    const Floats v = s * LN_2;
    Floats p = 1.0f - v * (1.0f / 7);
    p = 1.0f - v * (1.0f / 6) * p;
    p = 1.0f - v * (1.0f / 5) * p;
    p = 1.0f - v * (1.0f / 4) * p;
    p = 1.0f - v * (1.0f / 3) * p;
    p = 1.0f - v * (1.0f / 2) * p;
    return v < 0.5f ? v * p : 1.0f - exp2_negative(-s);
}

}  // namespace
}  // namespace geofcs
