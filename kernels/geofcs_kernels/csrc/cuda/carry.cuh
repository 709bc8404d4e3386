// Joining chunks: what each chunk leaves behind (h = gain * h_in + state) becomes what enters it.
//
// Three ways, by the size of the map. One tile: through shared memory. A few tiles on compute capability 9.0 and later:
// the tiles of a map form a cluster and read each other's shared memory. Any size: a kernel of its own between two
// passes over the map.
#pragma once
#include "tile.cuh"

namespace geofcs {

__device__ inline void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// A float2 in the shared memory of another block of the cluster, at the address it has in this one.
__device__ inline float2 read_neighbour(const float2* here, int block) {
#if __CUDA_ARCH__ >= 900
    unsigned there;
    float2 v;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(here))), "r"(block));
    asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(there) : "memory");
    return v;
#else
    return *here;  // never launched as a cluster
#endif
}

// What enters this lane's chunk, from all chunks of the map. All threads of all blocks of the cluster call it.
template <class Number, int AXIS>
__device__ inline float join_chunks(const ScanParams& p, const Place& at, int k, float gain, float state) {
    const int tiles = p.tile_rows * p.tile_cols;
    const int across = AXIS == 0 ? p.tile_cols : p.tile_rows;  // chunks of one row (column) of the map
    const int chunks = (AXIS == 0 ? p.height : p.width) * across;
    const int own_tile = at.tile_row * p.tile_cols + at.tile_col;
    const Joining s = shared_joining<Number>(p);
    float2* summaries = s.summaries + k * THREADS;
    summaries[threadIdx.x] = make_float2(gain, state);
    if (tiles > 1) cluster_barrier();
    else __syncthreads();

    // Warp w takes the w-th share of the chunks, in the order of direction k.
    const int share = (chunks + SIDE - 1) / SIDE;
    const int first = at.warp * share, last = min(first + share, chunks);
    auto locate = [&](int q, int& tile, int& warp) {
        const int chunk = k >= 2 ? chunks - 1 - q : q;
        const int line = chunk / across, part = chunk % across;
        tile = AXIS == 0 ? line / SIDE * p.tile_cols + part : part * p.tile_cols + line / SIDE;
        warp = line % SIDE;
    };
    auto read = [&](int tile, int warp) {
        const float2* here = summaries + warp * LANES + at.lane;
        return tile == own_tile ? *here : read_neighbour(here, tile);
    };
    float2 total = make_float2(1.0f, 0.0f);
    for (int q = first; q < last; ++q) {
        int tile, warp;
        locate(q, tile, warp);
        const float2 one = read(tile, warp);
        total = make_float2(total.x * one.x, one.x * total.y + one.y);
    }
    s.totals[threadIdx.x] = total;
    __syncthreads();
    float h = 0.0f;
#pragma unroll
    for (int w = 0; w < SIDE - 1; ++w) {
        const float2 one = s.totals[w * LANES + at.lane];
        h = w < at.warp ? one.x * h + one.y : h;
    }
    for (int q = first; q < last; ++q) {
        int tile, warp;
        locate(q, tile, warp);
        if (tile == own_tile) s.carries[warp * LANES + at.lane] = h;
        const float2 one = read(tile, warp);
        h = one.x * h + one.y;
    }
    __syncthreads();
    return s.carries[threadIdx.x];
}

// The kernel between two passes: one block per batch element, direction and 32 channels. Replaces `state` in place.
// AGAINST: the recurrence of the gradients, which runs against the direction.
template <bool AGAINST>
__device__ inline void carry_chunks(const ScanParams& p, float* state) {
    constexpr int WARPS = 32;
    __shared__ float2 totals[WARPS][LANES];
    const int groups = (p.channels + LANES - 1) / LANES;
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    int64 index = blockIdx.x;
    const int channel = static_cast<int>(index % groups) * LANES + lane;
    index /= groups;
    const int k = static_cast<int>(index % 4);
    const int batch = static_cast<int>(index / 4);
    const bool active = channel < p.channels;
    const int64 chunks = k % 2 == 0 ? static_cast<int64>(p.height) * p.tile_cols : static_cast<int64>(p.width) * p.tile_rows;
    const bool backwards = (k >= 2) != AGAINST;
    const int64 offset = (static_cast<int64>(batch) * 4 + k) * p.chunks * p.channels + channel;
    const int64 share = (chunks + WARPS - 1) / WARPS;
    const int64 first = warp * share, last = min(first + share, chunks);
    auto at = [&](int64 q) { return offset + (backwards ? chunks - 1 - q : q) * p.channels; };

    float2 total = make_float2(1.0f, 0.0f);
    if (active) {
#pragma unroll 8
        for (int64 q = first; q < last; ++q) {
            const float gain = p.gain[at(q)], left = state[at(q)];
            total = make_float2(total.x * gain, gain * total.y + left);
        }
    }
    totals[warp][lane] = total;
    __syncthreads();
    float h = 0.0f;
    for (int w = 0; w < warp; ++w) h = totals[w][lane].x * h + totals[w][lane].y;
    if (active) {
#pragma unroll 8
        for (int64 q = first; q < last; ++q) {
            const float gain = p.gain[at(q)], left = state[at(q)];
            state[at(q)] = h;
            h = gain * h + left;
        }
    }
}

}  // namespace geofcs
