// Several channels of a position at once: read from and written to maps as one access of up to 16 bytes, float32 between.
#pragma once
#include "numbers.cuh"

namespace geofcs {

// WIDTH consecutive numbers in float32.
template <class Number, int WIDTH>
struct Vector {
    using Raw = typename Number::Raw;
    static constexpr int BYTES = WIDTH * static_cast<int>(sizeof(Raw));
    float v[WIDTH];

    __device__ static Vector zeros() {
        Vector r;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) r.v[i] = 0.0f;
        return r;
    }
    __device__ static Vector load(const void* base, int64 index) {
        const Raw* from = static_cast<const Raw*>(base) + index;
        Vector r;
        if constexpr (BYTES % 16 == 0) {
#pragma unroll
            for (int part = 0; part < BYTES / 16; ++part) {
                const uint4 words = reinterpret_cast<const uint4*>(from)[part];
                r.unpack(words.x, part * 16), r.unpack(words.y, part * 16 + 4);
                r.unpack(words.z, part * 16 + 8), r.unpack(words.w, part * 16 + 12);
            }
        } else if constexpr (BYTES == 8) {
            const uint2 words = *reinterpret_cast<const uint2*>(from);
            r.unpack(words.x, 0), r.unpack(words.y, 4);
        } else {
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) r.v[i] = Number::widen(from[i]);
        }
        return r;
    }
    __device__ void store(void* base, int64 index) const {
        Raw* to = static_cast<Raw*>(base) + index;
        if constexpr (BYTES % 16 == 0) {
#pragma unroll
            for (int part = 0; part < BYTES / 16; ++part) {
                reinterpret_cast<uint4*>(to)[part] =
                    make_uint4(word(part * 16), word(part * 16 + 4), word(part * 16 + 8), word(part * 16 + 12));
            }
        } else if constexpr (BYTES == 8) {
            *reinterpret_cast<uint2*>(to) = make_uint2(word(0), word(4));
        } else {
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) to[i] = Number::narrow(v[i]);
        }
    }

  private:
    // The numbers that lie in the word `at` bytes from the first.
    __device__ void unpack(unsigned w, int at) {
        if constexpr (Number::PACKED) v[at / 2] = Number::widen_low(w), v[at / 2 + 1] = Number::widen_high(w);
        else v[at / 4] = __uint_as_float(w);
    }
    __device__ unsigned word(int at) const {
        if constexpr (Number::PACKED) return Number::narrow_pair(v[at / 2], v[at / 2 + 1]);
        else return __float_as_uint(v[at / 4]);
    }
};

template <int WIDTH>
using Floats = Vector<Float32, WIDTH>;

__device__ inline float sigmoid(float v) { return 1.0f / (1.0f + exp2_fast(-LOG2_E * v)); }

// Over the `lanes` (a power of two) that work together on a position.
__device__ inline float sum_over(float v, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}
__device__ inline float largest_over(float v, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}

}  // namespace geofcs
