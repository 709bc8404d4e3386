// The four-direction scan, vectorised over channels. Compiled once per instruction set, with GEOFCS_ISA its name;
// `dispatch.cpp` chooses at run time.
#include "backward.h"
#include "forward.h"

#define GEOFCS_JOIN(a, b) a##_##b
#define GEOFCS_EXPAND(a, b) GEOFCS_JOIN(a, b)
#define GEOFCS_NAME(name) GEOFCS_EXPAND(name, GEOFCS_ISA)

namespace geofcs {

int GEOFCS_NAME(lanes)() { return LANES; }

void GEOFCS_NAME(forward)(const FourDirectionScan& p) {
    with_type(p.x_type, [&](auto* type) {
        using Number = std::remove_pointer_t<decltype(type)>;
        for_each_block(p, 2, [](const Plan& plan, int64_t batch, int64_t channel0, float* scratch) {
            const auto run = channel0 + LANES <= plan.p.channels ? forward_block<Number, true> : forward_block<Number, false>;
            run(plan, batch, channel0, scratch);
        });
    });
}

void GEOFCS_NAME(backward)(const FourDirectionScan& p) { for_each_block(p, BACKWARD_MAPS, backward_block); }

}  // namespace geofcs
