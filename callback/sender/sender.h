// Sends one POST each, many at a time, and says how it went. Knows nothing of deliveries, limits or retries.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "callback/delivery/delivery.h"

namespace sluice::callback {

struct SendRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
};

// Safe for concurrent use.
class Sender {
 public:
  // Runs once for each send(), on a thread of the sender (or in send() itself once stopped): must return
  // soon.
  using Done = std::function<void(AttemptReport)>;

  virtual ~Sender() = default;
  // Never blocks and never refuses: the caller bounds how many are under way.
  virtual void send(SendRequest request, Done done) = 0;
};

}  // namespace sluice::callback
