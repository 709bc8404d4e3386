// Joining chunks: what each chunk leaves behind (h = gain * h_in + state) becomes what enters it.
//
// Three ways, by the size of the map. One tile: through shared memory. A few tiles on compute capability 9.0 and later:
// the tiles of a map form a cluster and read each other's shared memory. Any size: a kernel of its own between two
// passes over the map.
#pragma once
#include "tile.cuh"

namespace geofcs {

// h -> gain * h + state, and one such map after another.
struct Link {
    float gain, state;
    __device__ float operator()(float h) const { return gain * h + state; }
    __device__ Link then(const Link& next) const { return {next.gain * gain, next.gain * state + next.state}; }
};

__device__ inline void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// A link in the shared memory of another block of the cluster, at the address it has in this one.
__device__ inline Link read_neighbour(const Link* here, int block) {
#if __CUDA_ARCH__ >= 900
    unsigned there;
    Link v;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(here)), "r"(block));
    asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.gain), "=f"(v.state) : "r"(there) : "memory");
    return v;
#else
    return *here;  // never launched as a cluster
#endif
}

// The links of the lines (rows or columns of the tile) before this warp's, in the direction's order.
template <bool REVERSE>
__device__ inline Link links_before(const Link* lines, const Place& at) {
    Link before = {1.0f, 0.0f};
    const int count = REVERSE ? SIDE - 1 - at.warp : at.warp, step = REVERSE ? -LANES : LANES;
    const Link* next = lines + (REVERSE ? SIDE - 1 : 0) * LANES + at.lane;
#pragma unroll 4
    for (int i = 0; i < count; ++i, next += step) before = before.then(*next);
    return before;
}

// What enters this lane's chunk, in a map of one tile. `scratch`: 2 x 512 links.
template <bool REVERSE>
__device__ inline float join_lines(const Place& at, Link* scratch, const Link& left) {
    Link* lines = scratch + (REVERSE ? THREADS : 0);  // the other direction's may still be being read
    lines[threadIdx.x] = left;
    __syncthreads();
    return links_before<REVERSE>(lines, at).state;
}

// The same in a map whose tiles are a cluster. A line of the map passes through `across` tiles; tiles that share lines
// form a band. First the links of the tile's own lines over their whole length, then those of the bands before.
template <int AXIS, bool REVERSE>
__device__ inline float join_cluster(const ScanParams& p, const Place& at, Link* scratch, const Link& left) {
    const int across = AXIS == 0 ? p.tile_cols : p.tile_rows, bands = AXIS == 0 ? p.tile_rows : p.tile_cols;
    const int own_part = AXIS == 0 ? at.tile_col : at.tile_row, own_band = AXIS == 0 ? at.tile_row : at.tile_col;
    const auto block_of = [&](int band, int part) { return AXIS == 0 ? band * p.tile_cols + part : part * p.tile_cols + band; };
    Link *chunks = scratch, *lines = scratch + THREADS, *band_total = scratch + 2 * THREADS;

    chunks[threadIdx.x] = left;
    cluster_barrier();
    Link line = {1.0f, 0.0f}, within = line;
#pragma unroll 4
    for (int i = 0; i < across; ++i) {
        const int part = REVERSE ? across - 1 - i : i;
        if (part == own_part) within = line;
        line = line.then(read_neighbour(chunks + threadIdx.x, block_of(own_band, part)));
    }
    lines[threadIdx.x] = line;
    __syncthreads();
    const Link before = links_before<REVERSE>(lines, at);
    if (at.warp == (REVERSE ? 0 : SIDE - 1)) band_total[at.lane] = before.then(line);
    cluster_barrier();
    float h = 0.0f;
    const int bands_before = REVERSE ? bands - 1 - own_band : own_band;
#pragma unroll 4
    for (int i = 0; i < bands_before; ++i) {
        const int band = REVERSE ? bands - 1 - i : i;
        h = read_neighbour(band_total + at.lane, block_of(band, own_part))(h);
    }
    return within(before(h));
}

// The kernel between two passes: one block per batch element, direction and 32 channels. Replaces `state` in place.
// `against`: the recurrence of the gradients, which runs against the direction.
__device__ inline void carry_chunks(const ScanParams& p, float* state, bool against, int64 index) {
    __shared__ Link totals[32][LANES];
    const int groups = (p.channels + LANES - 1) / LANES, warps = blockDim.x / LANES;
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int channel = static_cast<int>(index % groups) * LANES + lane;
    index /= groups;
    const int k = static_cast<int>(index % 4);
    const int batch = static_cast<int>(index / 4);
    const int chunks = k % 2 == 0 ? p.height * p.tile_cols : p.width * p.tile_rows;
    const bool backwards = (k >= 2) != against;
    const int share = (chunks + warps - 1) / warps;
    const int first = min(warp * share, chunks), count = channel < p.channels ? min(share, chunks - first) : 0;
    const int64 begin = ((static_cast<int64>(batch) * 4 + k) * p.chunks + (backwards ? chunks - 1 - first : first)) * p.channels + channel;
    const int64 step = backwards ? -static_cast<int64>(p.channels) : p.channels;

    const float* gain = p.gain + begin;
    float* own = state + begin;
    constexpr int AT_ONCE = 8;  // loads of either kind under way
    Link links[AT_ONCE];
    const auto load = [&](int i) {
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) links[j] = {gain[(i + j) * step], own[(i + j) * step]};
    };
    const int whole = count / AT_ONCE * AT_ONCE;
    Link total = {1.0f, 0.0f};
    for (int i = 0; i < whole; i += AT_ONCE) {
        load(i);
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) total = total.then(links[j]);
    }
    for (int i = whole; i < count; ++i) total = total.then({gain[i * step], own[i * step]});
    totals[warp][lane] = total;
    __syncthreads();
    float h = 0.0f;
#pragma unroll 4
    for (int w = 0; w < warp; ++w) h = totals[w][lane](h);
    for (int i = 0; i < whole; i += AT_ONCE) {
        load(i);
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) {
            own[(i + j) * step] = h;
            h = links[j](h);
        }
    }
    for (int i = whole; i < count; ++i) {
        const Link one = {gain[i * step], own[i * step]};
        own[i * step] = h;
        h = one(h);
    }
}

}  // namespace geofcs
