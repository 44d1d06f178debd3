#include <algorithm>
#include <stdexcept>

#include "tests/contract/callback/store_under_test.h"
#include "tests/unit/callback/support/memory_delivery_store.h"

namespace sluice::callback::testing {

namespace {

class MemoryUnderTest final : public StoreUnderTest {
 public:
  DeliveryStore& store() override { return store_; }
  Clock& clock() override { return clock_; }
  Rng& rng() override { return rng_; }
  void put_event(const EventRecord& event) override { store_.put_event(event); }

  SeenDelivery look(const DeliveryId& id) override {
    for (const auto& delivery : store_.deliveries()) {
      if (delivery.what.ref.id != id) continue;
      SeenDelivery seen;
      seen.state = delivery.state;
      seen.attempts = delivery.what.ref.attempts;
      seen.due_in_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(delivery.due - clock_.wall_now()).count();
      seen.last_status = delivery.last_status;
      seen.last_error = delivery.last_error;
      for (const auto& attempt : delivery.attempts) {
        seen.made.push_back({attempt.attempt, attempt.report.status, attempt.report.error,
                             attempt.report.response, attempt.report.duration.count()});
      }
      return seen;
    }
    throw std::runtime_error("no such delivery");
  }

  void make_due(const DeliveryId& id, std::chrono::milliseconds ago) override { store_.make_due(id, ago); }

 private:
  SystemClock clock_;
  SeededRng rng_{11};
  MemoryDeliveryStore store_{clock_};
};

}  // namespace

std::unique_ptr<StoreUnderTest> memory_under_test() {
  return std::make_unique<MemoryUnderTest>();
}

}  // namespace sluice::callback::testing
