// Threads of our own, started per call. OpenMP would bring a second runtime, with idle threads that spin, into a process
// that has torch's; starting threads costs some 20 microseconds, the calls take milliseconds.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

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

// Calls work() on so many threads, this one among them.
template <class Work>
void on_threads(int64_t threads, const Work& work) {
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
