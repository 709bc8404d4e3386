// Bulk copies between memory and shared memory, and the barriers that count their bytes (compute capability 9.0 on:
// none of this may be called by what is compiled for less).
#pragma once
#include "tile.cuh"

namespace geofcs {

// As the driver encodes it: a view of a tensor and the box that one copy moves. Outside the view: zeros, nothing stored.
struct alignas(64) TensorMap {
    unsigned char encoded[128];
};

// One thread makes a barrier that `arrivals` threads arrive at; others may use it after a barrier of their own.
__device__ inline void make_barrier(unsigned barrier, int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ inline void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Arrives, and lets the barrier wait for that many bytes as well.
__device__ inline void expect_bytes(unsigned barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ inline void wait_for(unsigned barrier, int parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

// Box at (channel, col, row, batch) of a map.
__device__ inline void fetch_box(void* to, const TensorMap& map, int channel, int col, int row, int batch, unsigned barrier) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(
            shared_address(to)),
        "l"(&map), "r"(channel), "r"(col), "r"(row), "r"(batch), "r"(barrier)
        : "memory");
}

// Box at (0, direction, inner, outer, batch) of the factors, rows or columns outermost.
__device__ inline void fetch_factors(void* to, const TensorMap& map, int direction, int inner, int outer, int batch, unsigned barrier) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5, %6}], [%7];" ::"r"(
            shared_address(to)),
        "l"(&map), "r"(0), "r"(direction), "r"(inner), "r"(outer), "r"(batch), "r"(barrier)
        : "memory");
}

// Bytes one after the other, a multiple of 16.
__device__ inline void fetch_bytes(void* to, const void* from, int bytes, unsigned barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}

// Before a barrier of the block, in each thread that wrote what `put_box` will read after it.
__device__ inline void show_to_copies() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// By one thread, which returns once the box has been read.
__device__ inline void put_box(const TensorMap& map, const void* from, int channel, int col, int row, int batch) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(&map),
                 "r"(channel), "r"(col), "r"(row), "r"(batch), "r"(shared_address(from))
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;" ::: "memory");
}

// 16 bytes into the shared memory of another block of the cluster; its barrier, at that address there, counts them.
__device__ inline void push(float4 v, const void* to, unsigned barrier, int block) {
    asm volatile(
        "{\n.reg .b32 there, counted;\nmapa.shared::cluster.u32 there, %0, %2;\nmapa.shared::cluster.u32 counted, %1, %2;\n"
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [there], {%3, %4, %5, %6}, [counted];\n}" ::"r"(
            shared_address(to)),
        "r"(barrier), "r"(block), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
        : "memory");
}

// A barrier of the cluster that orders nothing but itself; the two halves may lie far apart.
__device__ inline void arrive_in_cluster() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
__device__ inline void wait_for_cluster() {
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

}  // namespace geofcs
