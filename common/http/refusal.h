// Why the server itself turns a request down, and what it answers.
#pragma once

#include <string>
#include <string_view>

namespace sluice::http {

struct Refusal {
  int status = 400;
  std::string_view code;  // A literal: also the label of the metric.
  std::string message;
};

}  // namespace sluice::http
