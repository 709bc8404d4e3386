// Work spread over threads: those of the OpenMP runtime that torch has loaded, which wait for work, else threads of our own,
// started per call. A runtime linked to this library would be a second one, with idle threads of its own that spin.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace geofcs {

// Hands out task numbers, each once; `wait` returns when all that were handed out are finished.
class Queue {
  public:
    explicit Queue(int64_t tasks) : tasks(tasks) {}
    bool take(int64_t& task) { return (task = next++) < tasks; }
    void finish() { ++finished; }
    void wait() const {
        while (finished < tasks) std::this_thread::yield();
    }

  private:
    const int64_t tasks;
    std::atomic<int64_t> next{0}, finished{0};
};

// The loaded OpenMP runtime's function that calls another on a team of threads, by the name that GCC calls it by and Clang's
// runtime knows as well; a null pointer if there is none.
using Team = void (*)(void (*)(void*), void*, unsigned, unsigned);
inline Team team() {
#if defined(_WIN32)
    return nullptr;
#else
    static const Team found = reinterpret_cast<Team>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    return found;
#endif
}

// Calls work() on so many threads at most, this one among them.
template <class Work>
void on_threads(int64_t threads, const Work& work) {
    if (threads <= 1) return work();
    if (const Team run = team()) {
        const auto call = [](void* given) { (*static_cast<const Work*>(given))(); };
        return run(call, const_cast<Work*>(&work), static_cast<unsigned>(threads), 0);
    }
    std::vector<std::thread> others;
    for (int64_t t = 1; t < threads; ++t) others.emplace_back(work);
    work();
    for (auto& other : others) other.join();
}

template <class Task>
void for_each(int64_t tasks, int64_t threads, Task task) {
    Queue queue(tasks);
    on_threads(threads < tasks ? threads : tasks, [&] {
        for (int64_t i; queue.take(i);) task(i);
    });
}

}  // namespace geofcs
