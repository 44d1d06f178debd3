// Checks of input files that a client waits for: one after the other on a thread of their own, so that a
// large file holds up no handler.
//
// Safe for concurrent use; stop() joins, and may be called twice. Parts must outlive it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "common/base/bounded_queue.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/http/responder.h"
#include "common/store/batch_store.h"
#include "common/store/file_store.h"
#include "producer/api/models.h"
#include "producer/batches/input_check.h"
#include "producer/live/estimate.h"

namespace sluice::producer {

struct DryRunConfig {
  std::size_t waiting_max = 16;  // More are refused,
  int of_tenant_max = 2;         // as are more of one tenant.
  std::chrono::milliseconds call_timeout{10'000};
  std::chrono::milliseconds estimate_timeout{2'000};
};

// When jobs of a model would start and end if they were accepted now; nullopt: not known. May wait until the
// deadline.
using EstimateBatch = std::function<std::optional<Estimate>(const std::string& model, Priority priority,
                                                            const BatchDemand& demand, Deadline deadline)>;

class DryRuns {
 public:
  DryRuns(FileStore& files, const ModelCatalog& models, EstimateBatch estimate, DryRunConfig config,
          Clock& clock);
  ~DryRuns();

  // False: too many wait already, or of this tenant. Otherwise the responder gets its answer; nothing is done
  // for a client that has left.
  bool submit(const NewFileBatch& asked, const http::Responder& responder);
  void stop();

 private:
  void check(const NewFileBatch& asked, const http::Responder& responder);

  std::optional<Estimate> estimate_all(const NewFileBatch& asked, const InputCheck& check);
  void leave(const TenantId& tenant);

  FileStore& files_;
  const ModelCatalog& models_;
  const EstimateBatch estimate_;
  const DryRunConfig config_;
  Clock& clock_;
  std::atomic<bool> stopping_{false};
  BoundedQueue<std::function<void()>> waiting_;
  Mutex mutex_;
  std::map<TenantId, int> of_tenants_ GUARDED_BY(mutex_);  // Waiting or being checked.
  std::thread thread_;
};

}  // namespace sluice::producer
