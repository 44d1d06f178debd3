// Pieces of one streamed answer on their way from the handler to the connection. Bounded: who writes faster
// than the client reads is told so.
//
// One writer at a time puts in (any thread), one reader takes out (the connection's strand, or a test). Safe
// for concurrent use. Callbacks run without a lock held.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/mutex.h"

namespace sluice::http {

// What became of a piece.
enum class Kept {
  kKept,  // It goes out, unless the client leaves first.
  kFull,  // The client reads too slowly. Nothing of the piece was taken: drop it, wait for room, or give up.
  kGone,  // Nobody reads any more, or the stream has ended.
};

struct StreamOptions {
  // How long the content is, if that is known: sent as Content-Length. Without it the answer is chunked (to
  // an HTTP/1.0 client: until the connection closes).
  std::optional<std::uint64_t> content_length = std::nullopt;
  // Bytes that may wait for the client. A single larger piece is taken while nothing else waits.
  std::size_t queue_bytes_max = 1 << 20;
  // Sent whenever nothing else was for `stream_heartbeat`; empty: nothing is. Needs an unknown length.
  std::string heartbeat = {};
};

class StreamQueue {
 public:
  // The waiting bytes of all streams of a server.
  using Total = std::shared_ptr<std::atomic<std::size_t>>;
  explicit StreamQueue(StreamOptions options) : options(std::move(options)) {}
  ~StreamQueue();
  StreamQueue(const StreamQueue&) = delete;
  StreamQueue& operator=(const StreamQueue&) = delete;

  const StreamOptions options;

  // The writer's side.
  Kept write(std::string piece);
  void end();    // No more comes. Less than the announced length: the same as abort().
  void abort();  // What waits is dropped, and the client must see that the answer broke off.
  // `callback` runs once, as soon as there is room again: half the queue is empty, and the piece that was
  // refused last would be taken. At once if that is so already. Also if nobody reads any more: the next
  // write() tells. A second callback replaces the first.
  void on_drained(std::function<void()> callback);
  bool gone() const;

  // The reader's side.
  struct Taken {
    std::string bytes;   // Of one piece or of several.
    bool ended = false;  // Nothing comes after `bytes`.
    bool aborted = false;
  };
  // From now on `wake` runs whenever something happened since take() found nothing more to do, and what waits
  // counts to `total`, which is bounded by `total_max`. A stream on which nothing waits may always keep one
  // piece, so that none starves.
  void attach(std::function<void()> wake, Total total, std::size_t total_max);
  // About `bytes_wanted` bytes; more only if one piece is larger.
  Taken take(std::size_t bytes_wanted);
  void sent(std::size_t bytes);  // What was taken is out.
  void close();                  // Nobody reads any more.

 private:
  void release(std::size_t bytes) REQUIRES(mutex_);
  bool has_room() const REQUIRES(mutex_);
  std::function<void()> drained_locked() REQUIRES(mutex_);
  std::function<void()> wake_locked() REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::deque<std::string> pieces_ GUARDED_BY(mutex_);
  std::size_t waiting_ GUARDED_BY(mutex_) = 0;  // Bytes that were written and are not out.
  std::uint64_t written_ GUARDED_BY(mutex_) = 0;
  std::size_t refused_ GUARDED_BY(mutex_) = 0;   // Size of the piece that found no room last.
  bool crowded_out_ GUARDED_BY(mutex_) = false;  // By the other streams.
  bool ended_ GUARDED_BY(mutex_) = false;
  bool aborted_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool idle_ GUARDED_BY(mutex_) = false;  // The reader waits to be woken.
  std::function<void()> drained_ GUARDED_BY(mutex_);
  std::function<void()> wake_ GUARDED_BY(mutex_);
  Total total_ GUARDED_BY(mutex_);
  std::size_t total_max_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::http
