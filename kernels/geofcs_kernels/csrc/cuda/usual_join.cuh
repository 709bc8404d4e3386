// Joining lines in the usual case, as carry.cuh does in general: for two channels a lane.
#pragma once
#include "usual.cuh"

namespace geofcs::usual {

// Of a lane's two channels; 16 bytes in shared memory.
struct alignas(16) Links {
    Link of[2];
    __device__ float4 packed() const { return {of[0].gain, of[0].state, of[1].gain, of[1].state}; }
    __device__ Links then(const Links& next) const { return {{of[0].then(next.of[0]), of[1].then(next.of[1])}}; }
};
static_assert(sizeof(Links) == 16);
__device__ inline Links nothing() { return {{{1.0f, 0.0f}, {1.0f, 0.0f}}}; }

__device__ inline Links* shared_links(int offset) { return reinterpret_cast<Links*>(shared_at(offset)); }

// The tiles of a map as blocks of a cluster. A line of the map passes through `across` tiles, which form a band.
struct Cluster {
    int across, bands, own_part, own_band, band_step, part_step;
    __device__ Cluster(const UsualParams& p, const Spot& at, int axis)
        : across(axis == 0 ? p.tile_cols : p.tile_rows), bands(axis == 0 ? p.tile_rows : p.tile_cols),
          own_part(axis == 0 ? at.tile_col : at.tile_row), own_band(axis == 0 ? at.tile_row : at.tile_col),
          band_step(axis == 0 ? p.tile_cols : 1), part_step(axis == 0 ? 1 : p.tile_cols) {}
    __device__ int block(int band, int part) const { return band * band_step + part * part_step; }
    __device__ static int links(int most) { return most * THREADS + THREADS + most * PAIRS; }  // of one direction
};

// Calls `next` with the links of the lines of the tile before this lane's, in the direction's order.
template <bool REVERSE, class Next>
__device__ inline void lines_before(const Links* lines, const Spot& at, Next next) {
    // All lines of the warps before (the same for the whole warp), then those before within the warp.
    const int whole = REVERSE ? SIDE - 4 - at.warp_lines : at.warp_lines, rest = REVERSE ? 3 - at.q : at.q;
    const int step = REVERSE ? -PAIRS : PAIRS;
    const Links* line = lines + (REVERSE ? (SIDE - 1) * PAIRS : 0) + at.pair;
#pragma unroll 4
    for (int i = 0; i < whole; ++i, line += step) next(*line);
#pragma unroll
    for (int i = 0; i < 3; ++i, line += step) {
        const Links one = *line;
        if (i < rest) next(one);
    }
}

// What enters this lane's line, in a map of one tile. `offset`: of 2 x 256 links in shared memory.
template <bool REVERSE>
__device__ inline float2 join_lines(const Spot& at, int offset, const Links& left) {
    Links* lines = shared_links(offset) + (REVERSE ? THREADS : 0);  // the other direction's may still be being read
    lines[at.slot()] = left;
    __syncthreads();
    float2 h = {0.0f, 0.0f};
    lines_before<REVERSE>(lines, at, [&](const Links& line) { h = {line.of[0](h.x), line.of[1](h.y)}; });
    return h;
}

// The same in a map whose tiles are a cluster; see carry.cuh. Links are pushed to where they are needed, and barriers there
// count their bytes: a barrier of the cluster would empty the L1 cache each time. `offset`: of `across` x 256 links from
// the tiles of the same band, 256 of whole lines and one for each band and pair. Direction `turn` of 4.
template <bool REVERSE>
__device__ inline float2 join_cluster(const UsualParams& p, const Spot& at, int axis, int offset, const Links& left) {
    const Cluster c(p, at, axis);
    const int turn = 2 * (1 - axis) + REVERSE, parts_most = max(p.tile_rows, p.tile_cols);
    Links* parts = shared_links(offset) + (REVERSE ? c.links(parts_most) : 0);
    Links *lines = parts + parts_most * THREADS, *totals = lines + THREADS;

    if (turn % 2 == 0) wait_for_cluster();  // all blocks are there; later: have read what these links will overwrite
    for (int i = 0; i < c.across; ++i) {
        push(left.packed(), parts + c.own_part * THREADS + at.slot(), barrier(LINKS_CAME + turn), c.block(c.own_band, i));
    }
    wait_for(barrier(LINKS_CAME + turn), 0);
    Links line = nothing(), within = line;
#pragma unroll 4
    for (int i = 0; i < c.across; ++i) {
        const int part = REVERSE ? c.across - 1 - i : i;
        if (part == c.own_part) within = line;
        line = line.then(parts[part * THREADS + at.slot()]);
    }
    lines[at.slot()] = line;
    __syncthreads();
    Links before = nothing();
    lines_before<REVERSE>(lines, at, [&](const Links& next) { before = before.then(next); });
    if (at.line() == (REVERSE ? 0 : SIDE - 1)) {
        const Links total = before.then(line);
        for (int i = REVERSE ? 0 : c.own_band + 1; i < (REVERSE ? c.own_band : c.bands); ++i) {
            push(total.packed(), totals + c.own_band * PAIRS + at.pair, barrier(TOTALS_CAME + turn), c.block(i, c.own_part));
        }
    }
    wait_for(barrier(TOTALS_CAME + turn), 0);
    float2 h = {0.0f, 0.0f};
    const int bands_before = REVERSE ? c.bands - 1 - c.own_band : c.own_band;
#pragma unroll 4
    for (int i = 0; i < bands_before; ++i) {
        const Links band = totals[(REVERSE ? c.bands - 1 - i : i) * PAIRS + at.pair];
        h = {band.of[0](h.x), band.of[1](h.y)};
    }
    if (turn == 1) arrive_in_cluster();
    return {within.of[0](before.of[0](h.x)), within.of[1](before.of[1](h.y))};
}

// One thread makes the barriers of all joins, which wait for the bytes that will be pushed.
__device__ inline void make_join_barriers(const UsualParams& p, const Spot& at) {
    for (int turn = 0; turn < 4; ++turn) {
        const Cluster c(p, at, turn < 2 ? 1 : 0);
        make_barrier(barrier(LINKS_CAME + turn), 1);
        make_barrier(barrier(TOTALS_CAME + turn), 1);
        expect_bytes(barrier(LINKS_CAME + turn), c.across * THREADS * 16);
        expect_bytes(barrier(TOTALS_CAME + turn), (turn % 2 ? c.bands - 1 - c.own_band : c.own_band) * PAIRS * 16);
    }
}

}  // namespace geofcs::usual
