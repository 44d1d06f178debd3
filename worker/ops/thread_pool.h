// A fixed number of threads that share out loops. The calling thread works too, so a pool of one has no
// thread.
//
// Work is claimed piece by piece: a thread that is late, or whose core was taken by another process, delays
// nobody but the piece it holds. Idle threads spin for some tens of microseconds (the gap between two loops
// of one forward pass), then sleep in the kernel.
//
// parallel_for belongs to one thread at a time; its body runs on all of them and may not call it again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace sluice::ops {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 means one for each CPU that this process may use.
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  // Calls body(begin, end, thread) for pieces of [0, items) of at most `grain` items each, in any order, and
  // returns when all are done. `thread` < threads() tells the pieces that run at the same time apart. What
  // the body wrote is visible to the caller afterwards.
  template <class Body>
  void parallel_for(std::size_t items, std::size_t grain, Body&& body) {
    if (items == 0) return;
    if (workers_.empty() || items <= grain) return body(0, items, 0);
    using Plain = std::remove_reference_t<Body>;
    run(items, grain, const_cast<void*>(static_cast<const void*>(&body)),
        [](void* context, std::size_t begin, std::size_t end, std::size_t thread) {
          (*static_cast<Plain*>(context))(begin, end, thread);
        });
  }

  // A grain that gives each thread some pieces, so that a late one can be helped, and none below `least`.
  std::size_t grain_for(std::size_t items, std::size_t least) const;

 private:
  using Function = void (*)(void* context, std::size_t begin, std::size_t end, std::size_t thread);

  void run(std::size_t items, std::size_t grain, void* context, Function function);
  void work(std::uint32_t round, std::size_t thread);
  void worker_main(std::size_t thread);

  // Round in the high half, next unclaimed piece in the low half. A piece is claimed by counting up, which
  // fails if the round is over: a thread that read the fields below too late can't act on them.
  alignas(64) std::atomic<std::uint64_t> claim_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};   // Pieces finished in this round.
  alignas(64) std::atomic<std::uint32_t> round_{0};  // What sleeping threads wait on.
  std::atomic<bool> stopping_{false};
  // The current round. Written between two rounds only.
  std::atomic<std::uint32_t> pieces_{0};
  std::atomic<std::size_t> items_{0};
  std::atomic<std::size_t> grain_{0};
  std::atomic<void*> context_{nullptr};
  std::atomic<Function> function_{nullptr};

  std::vector<std::thread> workers_;
};

// CPUs that this process may run on.
std::size_t usable_cpus();

}  // namespace sluice::ops
