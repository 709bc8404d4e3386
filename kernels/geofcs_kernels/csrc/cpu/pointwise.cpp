// Fused pointwise operations. Compiled once per instruction set, with GEOFCS_ISA its name; `dispatch.cpp` chooses at run time.
#include "attention.h"
#include "depthwise.h"
#include "ends.h"
#include "norms.h"

#define GEOFCS_JOIN(a, b) a##_##b
#define GEOFCS_EXPAND(a, b) GEOFCS_JOIN(a, b)
#define GEOFCS_NAME(name) GEOFCS_EXPAND(name, GEOFCS_ISA)

namespace geofcs {
namespace {

template <class Number>
void run(int64_t operation, const Pointwise& p) {
    const auto keep = [](Floats v) { return v; };
    switch (operation) {
        case LAYER_NORM: return layer_norm<Number>(p, keep);
        case LAYER_NORM_GELU: return layer_norm<Number>(p, [](Floats v) { return gelu(v); });
        case ADD_TO_CHANNELS: return add_to_channels<Number>(p);
        case DEPTHWISE: return depthwise<Number>(p, keep);
        case DEPTHWISE_SILU: return depthwise<Number>(p, [](Floats v) { return v * sigmoid(v); });
        case POOLS: return pools<Number>(p);
        case WEIGH: return weigh<Number>(p);
        case GATE: return gate(p);
        case GATED_RELU_ADD: return gated_relu_add<Number>(p);
        case GATED_ADD: return gated_add<Number>(p);
        case GUIDED_ADD: return guided_add<Number>(p);
        case WEIGHED_ADD_RELU: return weighed_add_relu<Number>(p);
        case NORMALISE: return normalise<Number>(p);
        case ENLARGE_LOGITS: return enlarge_logits(p);
        case GELU: return gelu<Number>(p);
        case LAYER_NORM_OF_SUM: return layer_norm_of_sum<Number>(p, keep);
    }
}

}  // namespace

void GEOFCS_NAME(pointwise)(int64_t operation, const Pointwise& p) {
    with_type(p.type, [&](auto* type) { run<std::remove_pointer_t<decltype(type)>>(operation, p); });
}

}  // namespace geofcs
