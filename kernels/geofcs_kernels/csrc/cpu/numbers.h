// The number types of maps: float32, and bfloat16 and float16 that are widened when read and rounded when written.
#pragma once
#include <cstdint>
#include <cstring>

namespace geofcs {

enum NumberType : int64_t { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };  // as `cpu.py` numbers them

struct BFloat16 {
    uint16_t bits;
};
struct Float16 {
    uint16_t bits;
};

namespace {

inline float float_of(uint32_t bits) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}
inline uint32_t bits_of(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}

inline float widen(float v) { return v; }
inline float widen(BFloat16 v) { return float_of(uint32_t(v.bits) << 16); }
inline float widen(Float16 v) {
    const uint32_t magnitude = uint32_t(v.bits & 0x7fff) << 13;
    const uint32_t wide = bits_of(float_of(magnitude) * 0x1p112f) | (magnitude >= 0x0f800000 ? 0x7f800000 : 0);
    return float_of(wide | uint32_t(v.bits & 0x8000) << 16);
}

constexpr float LARGEST_FLOAT16 = 65504.0f;

// To the nearest, ties to even. What exceeds float16's largest number becomes that, not infinite.
inline void narrow(float v, float& to) { to = v; }
inline void narrow(float v, BFloat16& to) {
    const uint32_t bits = bits_of(v);
    to.bits = uint16_t(v != v ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void narrow(float v, Float16& to) {
    const uint32_t bits = bits_of(v), magnitude = bits & 0x7fffffff;
    const uint32_t normal = (magnitude + 0xc8000fff + (magnitude >> 13 & 1)) >> 13;
    const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
    uint32_t half = magnitude < 0x38800000 ? subnormal : normal;
    half = v > LARGEST_FLOAT16 || v < -LARGEST_FLOAT16 ? 0x7bff : half;
    half = magnitude > 0x7f800000 ? 0x7e00 : half;
    to.bits = uint16_t(half | (bits >> 16 & 0x8000));
}

}  // namespace

// Calls task(a null pointer to the number type).
template <class Task>
void with_type(int64_t type, const Task& task) {
    if (type == BFLOAT16) task(static_cast<BFloat16*>(nullptr));
    else if (type == FLOAT16) task(static_cast<Float16*>(nullptr));
    else task(static_cast<float*>(nullptr));
}

}  // namespace geofcs
