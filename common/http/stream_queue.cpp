#include "common/http/stream_queue.h"

#include <algorithm>
#include <utility>

namespace sluice::http {

StreamQueue::~StreamQueue() {
  MutexLock lock(mutex_);
  release(waiting_);
}

Kept StreamQueue::write(std::string piece) {
  std::function<void()> wake;
  Kept kept = Kept::kKept;
  {
    MutexLock lock(mutex_);
    if (closed_ || ended_ || aborted_) return Kept::kGone;
    const std::size_t size = piece.size();
    if (size == 0) return Kept::kKept;
    if (options.content_length && size > *options.content_length - written_) {
      // More than was announced would be read as the next answer.
      aborted_ = true;
      kept = Kept::kGone;
    } else {
      crowded_out_ = waiting_ > 0 && total_ && total_->load(std::memory_order_relaxed) + size > total_max_;
      if (crowded_out_ || (waiting_ > 0 && waiting_ + size > options.queue_bytes_max)) {
        refused_ = size;
        return Kept::kFull;
      }
      refused_ = 0;
      if (total_) total_->fetch_add(size, std::memory_order_relaxed);
      waiting_ += size;
      written_ += size;
      pieces_.push_back(std::move(piece));
    }
    wake = wake_locked();
  }
  if (wake) wake();
  return kept;
}

void StreamQueue::end() {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    if (closed_ || ended_ || aborted_) return;
    const bool whole = !options.content_length || *options.content_length == written_;
    (whole ? ended_ : aborted_) = true;
    wake = wake_locked();
  }
  if (wake) wake();
}

void StreamQueue::abort() {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    if (closed_ || ended_ || aborted_) return;
    aborted_ = true;
    wake = wake_locked();
  }
  if (wake) wake();
}

void StreamQueue::on_drained(std::function<void()> callback) {
  std::function<void()> replaced;  // Goes after the lock does.
  {
    MutexLock lock(mutex_);
    if (!has_room() && !closed_ && !ended_ && !aborted_) {
      replaced = std::exchange(drained_, std::move(callback));
      return;
    }
  }
  callback();
}

bool StreamQueue::gone() const {
  MutexLock lock(mutex_);
  return closed_ || aborted_;
}

void StreamQueue::attach(std::function<void()> wake, Total total, std::size_t total_max) {
  MutexLock lock(mutex_);
  if (closed_) return;
  wake_ = std::move(wake);
  total_ = std::move(total);
  total_max_ = total_max;
  if (total_) total_->fetch_add(waiting_, std::memory_order_relaxed);
}

StreamQueue::Taken StreamQueue::take(std::size_t bytes_wanted) {
  Taken taken;
  MutexLock lock(mutex_);
  if (aborted_) {
    taken.aborted = true;
    return taken;
  }
  while (!pieces_.empty()) {
    if (taken.bytes.empty()) {
      taken.bytes = std::move(pieces_.front());
    } else if (taken.bytes.size() + pieces_.front().size() <= bytes_wanted) {
      taken.bytes += pieces_.front();
    } else {
      break;
    }
    pieces_.pop_front();
  }
  taken.ended = ended_ && pieces_.empty();
  idle_ = taken.bytes.empty() && !taken.ended;
  return taken;
}

void StreamQueue::sent(std::size_t bytes) {
  std::function<void()> drained;
  {
    MutexLock lock(mutex_);
    release(bytes);
    drained = drained_locked();
  }
  if (drained) drained();
}

void StreamQueue::close() {
  std::function<void()> drained;
  std::function<void()> wake;
  std::deque<std::string> pieces;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    release(waiting_);
    pieces.swap(pieces_);
    wake.swap(wake_);
    drained.swap(drained_);
  }
  if (drained) drained();
}

void StreamQueue::release(std::size_t bytes) {
  bytes = std::min(bytes, waiting_);
  waiting_ -= bytes;
  if (total_) total_->fetch_sub(bytes, std::memory_order_relaxed);
}

bool StreamQueue::has_room() const {
  if (waiting_ == 0) return true;
  return !crowded_out_ && 2 * waiting_ <= options.queue_bytes_max &&
         waiting_ + refused_ <= options.queue_bytes_max;
}

std::function<void()> StreamQueue::drained_locked() {
  if (!has_room()) return {};
  return std::exchange(drained_, nullptr);
}

std::function<void()> StreamQueue::wake_locked() {
  if (!std::exchange(idle_, false)) return {};
  return wake_;
}

}  // namespace sluice::http
