// The results that were asked for last, in this process, within a bound in bytes. Safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/base/mutex.h"
#include "common/job/answer.h"

namespace sluice::producer {

class AnswerLru {
 public:
  explicit AnswerLru(std::size_t bytes_max) : bytes_max_(bytes_max) {}  // 0 = holds nothing.

  std::optional<Answer> find(const std::string& key) EXCLUDES(mutex_);
  // Whether it has one that lasts at least so long. Counts as no use of it.
  bool has(const std::string& key, std::int64_t until_us) const EXCLUDES(mutex_);
  // In place of what the key had. One that is larger than a quarter of the room isn't taken.
  void put(const std::string& key, Answer answer) EXCLUDES(mutex_);
  std::size_t bytes() const EXCLUDES(mutex_);

 private:
  struct Entry {
    std::string key;
    Answer answer;
    std::size_t bytes = 0;
  };
  void drop(std::list<Entry>::iterator entry) REQUIRES(mutex_);

  const std::size_t bytes_max_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // The last one asked for first.
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::producer
