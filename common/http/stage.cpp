#include "common/http/stage.h"

#include <pthread.h>

#include <utility>

namespace sluice::http {

Stage::Stage(std::string name, int threads, std::size_t waiting_max)
    : name_(std::move(name)), thread_count_(threads), waiting_max_(waiting_max) {}

Stage::~Stage() {
  stop();
}

void Stage::start() {
  for (int i = 0; i < thread_count_; ++i) {
    threads_.emplace_back([this] { run(); });
    pthread_setname_np(threads_.back().native_handle(), name_.substr(0, 15).c_str());
  }
}

bool Stage::submit(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    if (stopped_ || tasks_.size() >= waiting_max_) return false;
    tasks_.push_back(std::move(task));
  }
  filled_.notify_one();
  return true;
}

bool Stage::resume(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    if (stopped_) return false;
    tasks_.push_back(std::move(task));
  }
  filled_.notify_one();
  return true;
}

std::size_t Stage::waiting() const {
  MutexLock lock(mutex_);
  return tasks_.size();
}

void Stage::run() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopped_) lock.wait(filled_);
      if (stopped_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

void Stage::stop() {
  std::deque<std::function<void()>> dropped;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    dropped.swap(tasks_);
  }
  filled_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace sluice::http
