#include "producer/api/field_errors.h"

#include <utility>

namespace sluice::producer {

void FieldErrors::add(std::string field, std::string code, std::string message) {
  ++count_;
  if (kept_.size() >= kKeptMax) return;
  kept_.push_back({index_, std::move(field), std::move(code), std::move(message)});
}

std::string field_name(std::string_view name) {
  constexpr std::size_t kNameMax = 64;
  if (name.size() <= kNameMax) return std::string(name);
  std::size_t end = kNameMax;
  // Not inside a character.
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
  return std::string(name.substr(0, end)) + "…";
}

}  // namespace sluice::producer
