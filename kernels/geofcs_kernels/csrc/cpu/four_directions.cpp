// The four-direction scan, vectorised over channels. Compiled once per instruction set, with GEOFCS_ISA its name;
// `dispatch.cpp` chooses at run time. Compilers: GCC and Clang, for their vector types.
#include "parallel.h"
#include "scan.h"

#include <algorithm>
#include <cstring>
#include <vector>

#define GEOFCS_JOIN(a, b) a##_##b
#define GEOFCS_EXPAND(a, b) GEOFCS_JOIN(a, b)
#define GEOFCS_NAME(name) GEOFCS_EXPAND(name, GEOFCS_ISA)

namespace geofcs {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr int GROUP = 8;  // positions whose logits are computed together, so that a weight is loaded once for all
constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));

inline Floats splat(float v) { return Floats{} + v; }
inline Floats load(const float* from) {
    Floats v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
inline void store(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

inline float sum(Floats v) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += v[i];
    return total;
}

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

// 1 - 2^-s = sigmoid(z) for s = softplus2(z); a series where the difference would cancel.
inline Floats sigmoid_from_softplus2(Floats s) {
    const Floats v = s * LN_2;
    const Floats series = v * (1.0f + v * (-0.5f + v * (0.16666667f + v * (-0.041666667f + v * 0.0083333333f))));
    return v < 0.03125f ? series : 1.0f - exp2_negative(-s);
}

// One direction's parameters of LANES channels, zero beyond the last channel.
struct Parameters {
    std::vector<float> weight;  // (R, LANES), times log2(e)
    Floats bias, rate;          // dt_bias times log2(e); A = -exp(a_log)

    Parameters(const FourDirectionScan& p, int k, int64_t channel0, int count) : weight(p.rank * LANES, 0.0f) {
        bias = rate = Floats{};
        for (int c = 0; c < count; ++c) {
            const int64_t channel = k * p.channels + channel0 + c;
            for (int64_t r = 0; r < p.rank; ++r) weight[r * LANES + c] = LOG2_E * p.dt_weight[channel * p.rank + r];
            bias[c] = LOG2_E * p.dt_bias[channel];
            rate[c] = -__builtin_expf(p.a_log[channel]);
        }
    }
};

// Some channels of a map, (L, LANES), zero beyond the last channel.
struct Columns {
    std::vector<float> values;
    explicit Columns(int64_t length) : values(length * LANES, 0.0f) {}
    void read(const float* map, const FourDirectionScan& p, int count) {
        const int64_t length = p.height * p.width;
        for (int64_t i = 0; i < length; ++i) std::memcpy(&values[i * LANES], map + i * p.channels, count * sizeof(float));
    }
    void write(float* map, const FourDirectionScan& p, int count) const {
        const int64_t length = p.height * p.width;
        for (int64_t i = 0; i < length; ++i) std::memcpy(map + i * p.channels, &values[i * LANES], count * sizeof(float));
    }
    float* at(int64_t position) { return &values[position * LANES]; }
};

// The positions of direction k, one after the other: position of step t, for t in order or backwards.
struct Order {
    int64_t lines, along, line_stride, stride, length;
    bool reverse;
    Order(const FourDirectionScan& p, int k)
        : lines(k % 2 ? p.width : p.height), along(k % 2 ? p.height : p.width), line_stride(k % 2 ? 1 : p.width),
          stride(k % 2 ? p.width : 1), length(p.height * p.width), reverse(k >= 2) {}
    // Walking from one step to the next takes no division.
    struct Cursor {
        const Order& of;
        int64_t line, offset;
        int64_t position() const { return line * of.line_stride + offset * of.stride; }
        void up() {
            if (++offset == of.along) offset = 0, ++line;
        }
        void down() {
            if (--offset < 0) offset = of.along - 1, --line;
        }
        void forth() { of.reverse ? down() : up(); }
        void back() { of.reverse ? up() : down(); }
    };
    Cursor first() const { return reverse ? Cursor{*this, lines - 1, along - 1} : Cursor{*this, 0, 0}; }
    Cursor last() const { return reverse ? Cursor{*this, 0, 0} : Cursor{*this, lines - 1, along - 1}; }
};

// softplus2 of the logits of positions t .. t + count of a direction, count <= GROUP.
inline void steps_of(const float* factors, int64_t stride, int64_t rank, const Parameters& of, const int64_t* positions,
                     Floats* steps) {
    const float* dt[GROUP];
    Floats z[GROUP];
    for (int i = 0; i < GROUP; ++i) dt[i] = factors + positions[i] * stride, z[i] = of.bias;
    for (int64_t r = 0; r < rank; ++r) {
        const Floats weight = load(&of.weight[r * LANES]);
        for (int i = 0; i < GROUP; ++i) z[i] += weight * dt[i][r];
    }
    for (int i = 0; i < GROUP; ++i) steps[i] = softplus2(z[i]);
}

// Calls body(t, position, step) along a direction.
template <class Body>
inline void walk(const FourDirectionScan& p, const float* factors, int k, const Parameters& of, Body body) {
    const Order order(p, k);
    const int64_t stride = 4 * (p.rank + 2);
    auto cursor = order.first();
    for (int64_t first = 0; first < order.length; first += GROUP) {
        const int count = static_cast<int>(std::min<int64_t>(GROUP, order.length - first));
        int64_t positions[GROUP];
        Floats steps[GROUP];
        for (int i = 0; i < count; ++i, cursor.forth()) positions[i] = cursor.position();
        for (int i = count; i < GROUP; ++i) positions[i] = positions[0];
        steps_of(factors, stride, p.rank, of, positions, steps);
        for (int i = 0; i < count; ++i) body(first + i, positions[i], steps[i]);
    }
}

const float* factors_of(const FourDirectionScan& p, int64_t batch, int k) {
    return p.factors + (batch * p.height * p.width * 4 + k) * (p.rank + 2);
}

void forward_block(const FourDirectionScan& p, int64_t batch, int64_t channel0) {
    const int64_t length = p.height * p.width, map = batch * length * p.channels + channel0;
    const int count = static_cast<int>(std::min<int64_t>(LANES, p.channels - channel0));
    const int64_t stride = 4 * (p.rank + 2);
    Columns x(length), y(length);
    x.read(p.x + map, p, count);
    Floats skip{};
    for (int k = 0; k < 4; ++k) {
        for (int c = 0; c < count; ++c) skip[c] += p.skip[k * p.channels + channel0 + c];
    }
    for (int64_t i = 0; i < length; ++i) store(y.at(i), skip * load(x.at(i)));
    for (int k = 0; k < 4; ++k) {
        const Parameters of(p, k, channel0, count);
        const float* factors = factors_of(p, batch, k);
        Floats h{};
        walk(p, factors, k, of, [&](int64_t, int64_t at, Floats step) {
            const float B = LN_2 * factors[at * stride + p.rank], C = factors[at * stride + p.rank + 1];
            h = exp2_negative(of.rate * step) * h + step * (load(x.at(at)) * B);
            store(y.at(at), load(y.at(at)) + h * C);
        });
    }
    y.write(p.y + map, p, count);
}

// See `csrc/cuda/backward.cuh` for the equations.
void backward_block(const FourDirectionScan& p, int64_t batch, int64_t channel0) {
    const int64_t length = p.height * p.width, map = batch * length * p.channels + channel0;
    const int64_t stride = 4 * (p.rank + 2), block = channel0 / LANES;
    const int count = static_cast<int>(std::min<int64_t>(LANES, p.channels - channel0));
    Columns x(length), g(length), dx(length), states(length), steps(length), dz(length);
    x.read(p.x + map, p, count);
    g.read(p.grad_y + map, p, count);
    float* sums = p.channel_sums + batch * 9 * p.channels + channel0;
    const auto keep = [&](int row, Floats v) { std::memcpy(sums + row * p.channels, &v, count * sizeof(float)); };

    Floats skip{}, of_skip{};
    for (int k = 0; k < 4; ++k) {
        for (int c = 0; c < count; ++c) skip[c] += p.skip[k * p.channels + channel0 + c];
    }
    for (int64_t i = 0; i < length; ++i) {
        store(dx.at(i), skip * load(g.at(i)));
        of_skip += load(x.at(i)) * load(g.at(i));
    }
    keep(8, of_skip);
    for (int k = 0; k < 4; ++k) {
        const Parameters of(p, k, channel0, count);
        const float* factors = factors_of(p, batch, k);
        const Order order(p, k);
        Floats h{}, mu{}, of_bias{}, of_rate{};
        walk(p, factors, k, of, [&](int64_t t, int64_t at, Floats step) {
            const float B = LN_2 * factors[at * stride + p.rank];
            h = exp2_negative(of.rate * step) * h + step * (load(x.at(at)) * B);
            store(states.at(t), h);
            store(steps.at(t), step);
        });
        auto cursor = order.last();
        for (int64_t t = length - 1; t >= 0; --t, cursor.back()) {
            const int64_t at = cursor.position();
            const float B = LN_2 * factors[at * stride + p.rank], C = factors[at * stride + p.rank + 1];
            const Floats xt = load(x.at(at)), gt = load(g.at(at)), step = load(steps.at(t)), before = t ? load(states.at(t - 1)) : Floats{};
            const Floats lambda = gt * C + mu, scaled = lambda * step;
            mu = exp2_negative(of.rate * step) * lambda;
            const Floats through = mu * before;
            store(dx.at(at), load(dx.at(at)) + scaled * B);
            of_rate += through * step;
            const Floats of_z = (of.rate * through + lambda * xt * (B * LOG2_E)) * sigmoid_from_softplus2(step);
            of_bias += of_z;
            store(dz.at(at), of_z);
            float* bc = p.grad_bc + (((block * p.batch + batch) * length + at) * 4 + k) * 2;
            bc[0] = sum(scaled * xt) * LN_2;
            bc[1] = sum(gt * load(states.at(t)));
        }
        dz.write(p.grad_z + (k * p.batch + batch) * length * p.channels + channel0, p, count);
        keep(k, of_bias);
        keep(4 + k, of_rate * of.rate * LN_2);
    }
    dx.write(p.grad_x + map, p, count);
}

}  // namespace

int GEOFCS_NAME(lanes)() { return LANES; }

void GEOFCS_NAME(forward)(const FourDirectionScan& p) {
    const int64_t blocks = (p.channels + LANES - 1) / LANES;
    for_each(p.batch * blocks, p.threads, [&](int64_t i) { forward_block(p, i / blocks, i % blocks * LANES); });
}

void GEOFCS_NAME(backward)(const FourDirectionScan& p) {
    const int64_t blocks = (p.channels + LANES - 1) / LANES;
    for_each(p.batch * blocks, p.threads, [&](int64_t i) { backward_block(p, i / blocks, i % blocks * LANES); });
}

}  // namespace geofcs
