#include "producer/batches/dry_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"
#include "producer/batches/batch_json.h"

namespace sluice::producer {

namespace {
constexpr std::chrono::minutes kWait{1};  // The thread is woken; this only bounds the wait.
constexpr int kLinesBetweenLooks = 64;
}  // namespace

DryRuns::DryRuns(FileStore& files, const ModelCatalog& models, EstimateBatch estimate, DryRunConfig config,
                 Clock& clock)
    : files_(files),
      models_(models),
      estimate_(std::move(estimate)),
      config_(config),
      clock_(clock),
      waiting_(config.waiting_max) {
  thread_ = std::thread([this] {
    for (;;) {
      const auto work = waiting_.pop_many(clock_, 1, clock_.steady_now() + kWait);
      if (!work.empty()) {
        work.front()();
      } else if (waiting_.closed()) {
        return;
      }
    }
  });
}

DryRuns::~DryRuns() {
  stop();
}

void DryRuns::stop() {
  stopping_ = true;
  waiting_.close();
  if (thread_.joinable()) thread_.join();
}

bool DryRuns::submit(const NewFileBatch& asked, const http::Responder& responder) {
  {
    MutexLock lock(mutex_);
    if (of_tenants_[asked.tenant] >= config_.of_tenant_max) return false;
    ++of_tenants_[asked.tenant];
  }
  std::function<void()> work = [this, asked, responder] {
    check(asked, responder);
    leave(asked.tenant);
  };
  if (waiting_.push(std::move(work))) return true;
  leave(asked.tenant);
  return false;
}

void DryRuns::leave(const TenantId& tenant) {
  MutexLock lock(mutex_);
  if (--of_tenants_[tenant] == 0) of_tenants_.erase(tenant);
}

void DryRuns::check(const NewFileBatch& asked, const http::Responder& responder) {
  FileLines lines(files_, asked.tenant, asked.input_file_id, kInputLineBytesMax);
  InputCheck check(asked.endpoint, models_, kDryRunErrorsKept, false);
  for (int count = 0;; ++count) {
    if (count % kLinesBetweenLooks == 0 && responder.gone()) return;
    if (stopping_) {
      responder.send(http::busy_response(503, "stopping", "The server is stopping; nothing was done.", 1));
      return;
    }
    const auto line = lines.next(Deadline::in(clock_, config_.call_timeout));
    if (!line) {
      responder.send(line.error().code == ErrorCode::kNotFound ? no_such_input_file()
                                                               : store_failure(line.error()));
      return;
    }
    if (!*line || !check.take(**line)) break;
  }
  check.finish();
  responder.send(http::json_response(
      200, validation_json(asked, check, estimate_all(asked, check), unix_micros(clock_.wall_now()))));
}

// Models are computed side by side: the first start and the last end of any.
std::optional<Estimate> DryRuns::estimate_all(const NewFileBatch& asked, const InputCheck& check) {
  const Deadline deadline = Deadline::in(clock_, config_.estimate_timeout);
  std::optional<Estimate> all;
  for (const auto& [model, demand] : check.demands()) {
    const auto one = estimate_(model, asked.priority, demand, deadline);
    if (!one || one->finish_us == 0) return std::nullopt;
    if (!all) all = one;
    all->start_us = std::min(all->start_us, one->start_us);
    all->finish_us = std::max(all->finish_us, one->finish_us);
  }
  return all;
}

}  // namespace sluice::producer
