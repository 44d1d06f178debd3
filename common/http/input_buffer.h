// Bytes that have come and were not yet used, in one piece. Keeps no memory while it is empty, so that ten
// thousand idle connections cost little. Not safe for concurrent use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace sluice::http {

class InputBuffer {
 public:
  explicit InputBuffer(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  std::string_view bytes() const { return {storage_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  bool full() const { return end_ - begin_ >= bytes_max_; }

  // Room to read into; never empty unless full().
  char* room(std::size_t& size) {
    if (end_ == capacity_ && begin_ > 0) {
      std::memmove(storage_.get(), storage_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == capacity_ && capacity_ < bytes_max_) {
      const std::size_t wanted = std::min(bytes_max_, std::max<std::size_t>(kFirstBytes, capacity_ * 4));
      std::unique_ptr<char[]> larger(new char[wanted]);
      if (end_ > 0) std::memcpy(larger.get(), storage_.get(), end_);
      storage_ = std::move(larger);
      capacity_ = wanted;
    }
    size = capacity_ - end_;
    return storage_.get() + end_;
  }
  void filled(std::size_t bytes) { end_ += bytes; }
  void use(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void release_if_empty() {
    if (!empty() || capacity_ == 0) return;
    storage_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  static constexpr std::size_t kFirstBytes = 2048;

  const std::size_t bytes_max_;
  std::unique_ptr<char[]> storage_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace sluice::http
