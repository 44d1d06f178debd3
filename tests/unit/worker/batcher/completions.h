// What a batcher has handed out, waited for by key.
//
// Safe for concurrent use.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "worker/batcher/work.h"

namespace sluice::worker {

class Completions {
 public:
  void take(std::vector<Completion>&& completions) {
    std::lock_guard lock(mutex_);
    for (Completion& completion : completions) {
      ++count_[completion.key];
      std::string key = completion.key;
      by_key_.insert_or_assign(std::move(key), std::move(completion));
    }
    changed_.notify_all();
  }
  // The completion of `key`, waited for.
  Completion of(const std::string& key) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return by_key_.contains(key); })) {
      ADD_FAILURE() << key << " never came out";
      return {};
    }
    return by_key_.at(key);
  }
  bool wait_count(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return by_key_.size() >= count; });
  }
  bool has(const std::string& key) {
    std::lock_guard lock(mutex_);
    return by_key_.contains(key);
  }
  bool each_came_once() {
    std::lock_guard lock(mutex_);
    return std::all_of(count_.begin(), count_.end(), [](const auto& entry) { return entry.second == 1; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Completion> by_key_;
  std::map<std::string, int> count_;
};

}  // namespace sluice::worker
