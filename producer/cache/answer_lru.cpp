#include "producer/cache/answer_lru.h"

#include <iterator>
#include <utility>

#include "common/job/result_bytes.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kEntryBytes = 400;  // List, index and the strings' own.

std::size_t bytes_of(const std::string& key, const Answer& answer) {
  return kEntryBytes + 2 * key.size() + answer.job.value.size() + result_bytes(answer.result);
}

}  // namespace

std::optional<Answer> AnswerLru::find(const std::string& key) {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
}

bool AnswerLru::has(const std::string& key, std::int64_t until_us) const {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  return found != by_key_.end() && found->second->answer.until_us >= until_us;
}

void AnswerLru::put(const std::string& key, Answer answer) {
  const std::size_t bytes = bytes_of(key, answer);
  MutexLock lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) drop(found->second);
  if (bytes > bytes_max_ / 4) return;
  while (bytes_ + bytes > bytes_max_) drop(std::prev(entries_.end()));
  entries_.push_front({key, std::move(answer), bytes});
  by_key_.emplace(key, entries_.begin());
  bytes_ += bytes;
}

std::size_t AnswerLru::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

void AnswerLru::drop(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace sluice::producer
