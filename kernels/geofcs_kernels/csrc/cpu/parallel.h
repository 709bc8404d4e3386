// Threads of our own, started per call. OpenMP would bring a second runtime, with idle threads that spin, into a process
// that has torch's; starting threads costs some 20 microseconds, the calls take milliseconds.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace geofcs {

template <class Task>
void for_each(int64_t tasks, int64_t threads, Task task) {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
        for (int64_t i = next++; i < tasks; i = next++) task(i);
    };
    std::vector<std::thread> others;
    for (int64_t t = 1; t < threads && t < tasks; ++t) others.emplace_back(work);
    work();
    for (auto& other : others) other.join();
}

}  // namespace geofcs
