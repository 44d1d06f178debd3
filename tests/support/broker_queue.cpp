#include "tests/support/broker_queue.h"

#include <gtest/gtest.h>

#include "tests/contract/support/servers.h"

namespace sluice::testing {

void empty_queue(BrokerControl& control, const std::string& queue) {
  const auto soon = [] { return parts().in(std::chrono::seconds(10)); };
  EXPECT_TRUE(eventually(
      [&] {
        const auto depth = control.depth(queue, soon());
        if (!depth || depth->consumers > 0) return false;
        return control.purge(queue, soon()).has_value();
      },
      std::chrono::seconds(30)))
      << queue << " is without a leader, or somebody still consumes from it";
}

}  // namespace sluice::testing
