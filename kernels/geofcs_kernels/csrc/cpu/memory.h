// Scratch memory of float32 numbers.
#pragma once
#include <cstdint>
#include <memory>
#include <new>

namespace geofcs {
namespace {

// Numbers at the start of a cache line, without values.
struct Release {
    void operator()(float* numbers) const { ::operator delete(numbers, std::align_val_t(64)); }
};
using Numbers = std::unique_ptr<float[], Release>;
inline Numbers numbers(int64_t count) {
    return Numbers(static_cast<float*>(::operator new(count * sizeof(float), std::align_val_t(64))));
}

}  // namespace
}  // namespace geofcs
