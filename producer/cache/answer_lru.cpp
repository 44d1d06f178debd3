#include "producer/cache/answer_lru.h"

#include <utility>

namespace sluice::producer {

namespace {

constexpr std::size_t kEntryBytes = 400;  // List, index and the strings' own.

std::size_t bytes_of(const std::string& key, const Answer& answer) {
  const JobResult& result = answer.result;
  return kEntryBytes + 2 * key.size() + answer.job.value.size() + result.text.size() +
         result.reasoning_content.size() + result.logprobs_json.size();
}

}  // namespace

std::optional<Answer> AnswerLru::find(const std::string& key) {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
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
