// Several channels of a position at once: read from and written to maps as one access of up to 16 bytes, float32 between.
#pragma once
#include "numbers.cuh"

namespace geofcs {

// WIDTH consecutive numbers as they lie in memory: they can be under way while others are computed with.
template <class Number, int WIDTH>
struct Packed {
    using Raw = typename Number::Raw;
    static constexpr int BYTES = WIDTH * static_cast<int>(sizeof(Raw)), WORDS = BYTES < 4 ? 1 : BYTES / 4;
    unsigned words[WORDS];

    __device__ static Packed zeros() {
        Packed r;
#pragma unroll
        for (int i = 0; i < WORDS; ++i) r.words[i] = 0;
        return r;
    }
    __device__ static Packed load(const void* base, int64 index) {
        const Raw* from = static_cast<const Raw*>(base) + index;
        Packed r;
        if constexpr (BYTES % 16 == 0) {
#pragma unroll
            for (int part = 0; part < BYTES / 16; ++part) {
                const uint4 v = reinterpret_cast<const uint4*>(from)[part];
                unsigned* to = r.words + 4 * part;
                to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
            }
        } else if constexpr (BYTES == 8) {
            const uint2 v = *reinterpret_cast<const uint2*>(from);
            r.words[0] = v.x, r.words[1] = v.y;
        } else {
            static_assert(WIDTH == 1, "one number, 8 bytes, or a multiple of 16");
            if constexpr (Number::PACKED) r.words[0] = *from;
            else r.words[0] = __float_as_uint(*from);
        }
        return r;
    }
    __device__ void store(void* base, int64 index) const {
        Raw* to = static_cast<Raw*>(base) + index;
        if constexpr (BYTES % 16 == 0) {
#pragma unroll
            for (int part = 0; part < BYTES / 16; ++part) {
                const unsigned* from = words + 4 * part;
                reinterpret_cast<uint4*>(to)[part] = make_uint4(from[0], from[1], from[2], from[3]);
            }
        } else if constexpr (BYTES == 8) {
            *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
        } else if constexpr (Number::PACKED) {
            *to = static_cast<Raw>(words[0]);
        } else {
            *to = __uint_as_float(words[0]);
        }
    }
    __device__ float get(int i) const {
        if constexpr (!Number::PACKED) return __uint_as_float(words[i]);
        else return i % 2 ? Number::widen_high(words[i / 2]) : Number::widen_low(words[i / 2]);
    }
};

// The same in float32.
template <class Number, int WIDTH>
struct Vector {
    float v[WIDTH];

    __device__ static Vector zeros() { return of(Packed<Number, WIDTH>::zeros()); }
    __device__ static Vector load(const void* base, int64 index) { return of(Packed<Number, WIDTH>::load(base, index)); }
    __device__ static Vector of(const Packed<Number, WIDTH>& packed) {
        Vector r;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) r.v[i] = packed.get(i);
        return r;
    }
    __device__ void store(void* base, int64 index) const { packed().store(base, index); }
    __device__ Packed<Number, WIDTH> packed() const {
        Packed<Number, WIDTH> r;
#pragma unroll
        for (int i = 0; i < r.WORDS; ++i) {
            if constexpr (!Number::PACKED) r.words[i] = __float_as_uint(v[i]);
            else r.words[i] = Number::narrow_pair(v[WIDTH == 1 ? 0 : 2 * i], WIDTH == 1 ? 0.0f : v[2 * i + 1]);
        }
        return r;
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
