// The two ends of the model: images in, logits out.
#pragma once
#include "elementwise.h"

namespace geofcs {
namespace {

constexpr int64_t BANDS = 3;

// (x - mean) / deviation of dates (b, 3, h, w) and float32, by `weight` and `bias` (2, 3): y (2b, h, w, channels), zeros last.
template <class Number>
void normalise(const Pointwise& p) {
    const int64_t area = p.height * p.width;
    for_each(2 * p.batch * p.height, p.threads, [&](int64_t line) {
        const int64_t image = line / p.height, date = image / p.batch, row = line % p.height;
        const float* x = static_cast<const float*>(p.x[date]) + (image % p.batch * BANDS * p.height + row) * p.width;
        Number* y = static_cast<Number*>(p.y) + line * p.width * p.channels;
        for (int64_t col = 0; col < p.width; ++col, y += p.channels) {
            for (int64_t c = 0; c < p.channels; ++c) {
                const int64_t of = date * BANDS + c;
                narrow(c < BANDS ? (x[c * area + col] - p.weight[of]) / p.bias[of] : 0.0f, y[c]);
            }
        }
    });
}

// The first `channels` channels of the coarse map (b, h2, w2, widths[0]), float32, as planes (b, channels, h, w).
inline void enlarge_logits(const Pointwise& p) {
    const int64_t all = p.widths[0];
    std::vector<Between> columns;
    for (int64_t col = 0; col < p.width; ++col) columns.emplace_back(col, p.coarse_width, p.width);
    for_each(p.batch * p.height, p.threads, [&](int64_t line) {
        const int64_t batch = line / p.height, row = line % p.height;
        const Between between(row, p.coarse_height, p.height);
        const float* from = static_cast<const float*>(p.coarse) + batch * p.coarse_height * p.coarse_width * all;
        const Numbers blended = numbers(p.coarse_width);
        for (int64_t c = 0; c < p.channels; ++c) {
            for (int64_t col = 0; col < p.coarse_width; ++col) {
                const float above = from[(between.low * p.coarse_width + col) * all + c];
                const float below = from[(between.high * p.coarse_width + col) * all + c];
                blended[col] = above + between.share * (below - above);
            }
            float* y = static_cast<float*>(p.y) + ((batch * p.channels + c) * p.height + row) * p.width;
            for (int64_t col = 0; col < p.width; ++col) {
                const float left = blended[columns[col].low];
                y[col] = left + columns[col].share * (blended[columns[col].high] - left);
            }
        }
    });
}

}  // namespace
}  // namespace geofcs
