#include "worker/ops/thread_pool.h"

#include <sched.h>

#include <algorithm>

#include "common/base/check.h"

namespace sluice::ops {
namespace {

constexpr int kSpins = 2000;  // Some 30 to 80 µs, depending on the CPU's pause.
constexpr std::uint32_t kClosed = 0xFFFFFFFFU;
constexpr std::size_t kPiecesOfAThread = 4;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns the value once it differs from `old`.
std::uint32_t wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause_briefly();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

std::uint64_t claim_of(std::uint32_t round, std::uint32_t piece) {
  return (static_cast<std::uint64_t>(round) << 32) | piece;
}

}  // namespace

std::size_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
  return std::max(1U, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(std::size_t threads) {
  if (threads == 0) threads = usable_cpus();
  for (std::size_t thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { worker_main(thread); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_acq_rel);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

std::size_t ThreadPool::grain_for(std::size_t items, std::size_t least) const {
  const std::size_t pieces = threads() * kPiecesOfAThread;
  return std::max(least, (items + pieces - 1) / pieces);
}

void ThreadPool::run(std::size_t items, std::size_t grain, void* context, Function function) {
  const std::size_t pieces = (items + grain - 1) / grain;
  SLUICE_CHECK(pieces < kClosed);
  const std::uint32_t round = round_.load(std::memory_order_relaxed) + 1;
  // First close the claim to the round before, then describe the new one, then open it.
  claim_.store(claim_of(round, kClosed), std::memory_order_seq_cst);
  pieces_.store(static_cast<std::uint32_t>(pieces), std::memory_order_release);
  items_.store(items, std::memory_order_release);
  grain_.store(grain, std::memory_order_release);
  context_.store(context, std::memory_order_release);
  function_.store(function, std::memory_order_release);
  done_.store(0, std::memory_order_release);
  claim_.store(claim_of(round, 0), std::memory_order_release);
  round_.store(round, std::memory_order_release);
  round_.notify_all();

  work(round, 0);
  std::uint32_t done = done_.load(std::memory_order_acquire);
  while (done != pieces) done = wait_while(done_, done);
}

void ThreadPool::work(std::uint32_t round, std::size_t thread) {
  std::uint64_t claim = claim_.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(claim >> 32) == round) {
    const std::uint32_t piece = static_cast<std::uint32_t>(claim);
    const std::uint32_t pieces = pieces_.load(std::memory_order_acquire);
    const std::size_t items = items_.load(std::memory_order_acquire);
    const std::size_t grain = grain_.load(std::memory_order_acquire);
    void* context = context_.load(std::memory_order_acquire);
    const Function function = function_.load(std::memory_order_acquire);
    if (piece >= pieces) return;
    if (!claim_.compare_exchange_weak(claim, claim + 1, std::memory_order_acq_rel)) continue;
    const std::size_t begin = piece * grain;
    function(context, begin, std::min(items, begin + grain), thread);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == pieces) done_.notify_one();
    claim = claim_.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker_main(std::size_t thread) {
  std::uint32_t seen = 0;
  while (true) {
    seen = wait_while(round_, seen);
    if (stopping_.load(std::memory_order_acquire)) return;
    work(seen, thread);
  }
}

}  // namespace sluice::ops
