// The two delivery stores behind one face, so that one suite speaks for both.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "callback/store/delivery_store.h"
#include "common/base/clock.h"
#include "common/base/rng.h"

namespace sluice::callback::testing {

struct SeenAttempt {
  int attempt = 0;
  std::optional<int> status;
  std::string error;
  std::string response;
  std::int64_t duration_ms = 0;
};

struct SeenDelivery {
  std::string state;
  int attempts = 0;
  std::int64_t due_in_ms = 0;  // While pending; negative: it is due.
  std::optional<int> last_status;
  std::string last_error;
  std::vector<SeenAttempt> made;
};

class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual DeliveryStore& store() = 0;
  virtual Clock& clock() = 0;
  virtual Rng& rng() = 0;
  // An event whose job wants to hear of it at `url` (empty: doesn't).
  virtual void put_event(const EventRecord& event) = 0;
  virtual SeenDelivery look(const DeliveryId& id) = 0;
  // Moves its due time to `ago` before now.
  virtual void make_due(const DeliveryId& id, std::chrono::milliseconds ago) = 0;
};

// Null: the server is not there.
std::unique_ptr<StoreUnderTest> memory_under_test();
std::unique_ptr<StoreUnderTest> mysql_under_test();

}  // namespace sluice::callback::testing
