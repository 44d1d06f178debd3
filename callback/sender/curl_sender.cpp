#include "callback/sender/curl_sender.h"

#include <curl/curl.h>
#include <pthread.h>

#include <deque>
#include <thread>
#include <unordered_map>

#include "callback/sender/transfer.h"
#include "common/base/mutex.h"

namespace sluice::callback {

namespace {

constexpr int kPollMs = 1000;  // Sends and stop() wake the loop; this only bounds a missed wake-up.

// Once for the process, before any handle; never undone, since other threads may use libcurl.
bool global_init() {
  static const bool ok = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ok;
}

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

class CurlSender::Impl {
 public:
  Impl(SenderConfig config, Resolver& resolver, const Clock& clock, Log log)
      : config_(std::move(config)), resolver_(resolver), clock_(clock), log_(std::move(log)) {}

  Status start() {
    if (!global_init()) return fail(ErrorCode::kInternal, "libcurl can't be initialised");
    multi_.reset(curl_multi_init());
    if (multi_ == nullptr) return fail(ErrorCode::kInternal, "libcurl has no multi handle for us");
    MutexLock lock(mutex_);
    if (stopping_) return fail(ErrorCode::kCancelled, "the sender was stopped");
    started_ = true;
    thread_ = std::thread([this] { run(); });
    return {};
  }

  void send(SendRequest request, Done done) {
    auto transfer = std::make_unique<Transfer>(std::move(request), std::move(done), config_, clock_);
    {
      MutexLock lock(mutex_);
      if (!stopping_) {
        waiting_.push_back(std::move(transfer));
        if (started_) curl_multi_wakeup(multi_.get());
        return;
      }
    }
    cancel(*transfer);
  }

  void stop() {
    std::thread joinable;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      joinable.swap(thread_);
      if (started_) curl_multi_wakeup(multi_.get());
    }
    if (joinable.joinable()) joinable.join();
    for (const auto& transfer : take_waiting()) cancel(*transfer);
  }

 private:
  using TransferPtr = std::unique_ptr<Transfer>;

  static void cancel(Transfer& transfer) { transfer.finish(AttemptFailure::kCancelled, "the sender stops"); }

  std::deque<TransferPtr> take_waiting() {
    MutexLock lock(mutex_);
    return std::exchange(waiting_, {});
  }

  static AttemptFailure failure_of(ErrorCode code) {
    if (code == ErrorCode::kInvalid) return AttemptFailure::kUnsendable;
    if (code == ErrorCode::kNotFound) return AttemptFailure::kResolve;
    return AttemptFailure::kCancelled;  // A lack of ours.
  }

  bool stopping() {
    MutexLock lock(mutex_);
    return stopping_;
  }

  void run() {
    pthread_setname_np(pthread_self(), "webhook-send");
    while (!stopping()) {
      for (TransferPtr& transfer : take_waiting()) begin(std::move(transfer));
      int running = 0;
      CURLMcode code = curl_multi_perform(multi_.get(), &running);
      finish_done();
      if (code == CURLM_OK) code = curl_multi_poll(multi_.get(), nullptr, 0, kPollMs, nullptr);
      if (code != CURLM_OK) log_.warn_limited("webhook_loop_failed", {{"error", curl_multi_strerror(code)}});
    }
    for (const auto& [easy, transfer] : under_way_) {
      curl_multi_remove_handle(multi_.get(), easy);
      cancel(*transfer);
    }
    under_way_.clear();
  }

  void begin(TransferPtr transfer) {
    if (const Status ready = transfer->prepare(resolver_); !ready) {
      transfer->finish(failure_of(ready.error().code), ready.error().message);
      return;
    }
    CURL* const easy = transfer->handle();
    if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) {
      transfer->finish(AttemptFailure::kCancelled, "libcurl took no more transfers");
      return;
    }
    under_way_.emplace(easy, std::move(transfer));
  }

  void finish_done() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* const easy = message->easy_handle;
      const CURLcode code = message->data.result;  // Gone once the handle is removed.
      curl_multi_remove_handle(multi_.get(), easy);
      auto node = under_way_.extract(easy);
      node.mapped()->finish(code);
    }
  }

  const SenderConfig config_;
  Resolver& resolver_;
  const Clock& clock_;
  const Log log_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::unordered_map<CURL*, TransferPtr> under_way_;  // The thread's own; goes before `multi_`.
  Mutex mutex_;
  std::deque<TransferPtr> waiting_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

CurlSender::CurlSender(SenderConfig config, Resolver& resolver, const Clock& clock, Log log)
    : impl_(std::make_unique<Impl>(std::move(config), resolver, clock, std::move(log))) {}

CurlSender::~CurlSender() {
  stop();
}

Status CurlSender::start() {
  return impl_->start();
}

void CurlSender::send(SendRequest request, Done done) {
  impl_->send(std::move(request), std::move(done));
}

void CurlSender::stop() {
  impl_->stop();
}

}  // namespace sluice::callback
