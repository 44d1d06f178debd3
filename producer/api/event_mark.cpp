#include "producer/api/event_mark.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace sluice::producer {

namespace {

template <class T>
bool read_part(std::string_view& text, T& number, int base, bool last) {
  const std::size_t end = last ? text.size() : text.find('-');
  if (end == std::string_view::npos) return false;
  const auto read = std::from_chars(text.data(), text.data() + end, number, base);
  if (read.ec != std::errc() || read.ptr != text.data() + end) return false;
  text.remove_prefix(last ? end : end + 1);
  return true;
}

}  // namespace

std::string event_mark_text(const EventMark& mark) {
  const std::string generation = std::to_string(mark.generation);
  if (mark.final) return generation + "-final";
  std::array<char, 16> hash{};
  std::snprintf(hash.data(), hash.size(), "%08x", mark.hash);
  // The order begins at -1, which would read as a separator.
  return generation + "-" + std::to_string(mark.order + 1) + "-" + std::to_string(mark.place.text) + "-" +
         std::to_string(mark.place.reasoning) + "-" + hash.data();
}

std::optional<EventMark> event_mark_from(std::string_view text) {
  EventMark mark;
  if (!read_part(text, mark.generation, 10, false) || mark.generation < 1) return std::nullopt;
  if (text == "final") {
    mark.final = true;
    return mark;
  }
  std::uint32_t order = 0;
  const bool good = read_part(text, order, 10, false) && read_part(text, mark.place.text, 10, false) &&
                    read_part(text, mark.place.reasoning, 10, false) && read_part(text, mark.hash, 16, true);
  if (!good) return std::nullopt;
  mark.order = std::int64_t{order} - 1;
  return mark;
}

}  // namespace sluice::producer
