// What is wrong with a request, field by field, all of it at once.
//
// Not safe for concurrent use.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::producer {

struct FieldError {
  int index = -1;       // Of the item in `requests`; -1: not about an item.
  std::string field;    // "parameters.temperature", "messages[0].content"; empty: the body itself.
  std::string code;     // What programs look at.
  std::string message;  // What people read.
};

class FieldErrors {
 public:
  // Errors from here on are about this item; -1: about the body.
  void about(int index) { index_ = index; }
  void add(std::string field, std::string code, std::string message);

  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }
  // No answer needs more than these; the rest is only counted.
  const std::vector<FieldError>& kept() const { return kept_; }
  std::size_t left_out() const { return count_ - kept_.size(); }
  bool full() const { return left_out() > 0; }

 private:
  static constexpr std::size_t kKeptMax = 100;
  int index_ = -1;
  std::size_t count_ = 0;
  std::vector<FieldError> kept_;
};

// A member's name for a field path: long ones are cut, since they are the client's.
std::string field_name(std::string_view name);

}  // namespace sluice::producer
