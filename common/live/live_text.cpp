#include "common/live/live_text.h"

#include <charconv>

namespace sluice {

namespace {

template <class T>
bool read_number(const std::string& text, T& number) {
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  return read.ec == std::errc() && read.ptr == end;
}

}  // namespace

std::string live_text_key(const JobId& id, std::int64_t generation) {
  return "sluice:tokens:" + id.value + ":" + std::to_string(generation);
}

std::string live_watch_key(const JobId& id) {
  return "sluice:watch:" + id.value;
}

std::vector<std::string> live_text_fields(const LiveText& live) {
  std::vector<std::string> fields{"attempt", std::to_string(live.attempt), "tokens",
                                  std::to_string(live.tokens)};
  const auto add = [&fields](const char* at_name, std::size_t at, const char* name, const std::string& text) {
    if (text.empty()) return;
    fields.insert(fields.end(), {at_name, std::to_string(at), name, text});
  };
  add("text_at", live.text_at, "text", live.text);
  add("reasoning_at", live.reasoning_at, "reasoning", live.reasoning);
  return fields;
}

std::optional<LiveText> live_text_from(std::span<const std::string> fields) {
  LiveText live;
  bool attempt_given = false;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string& name = fields[i];
    const std::string& value = fields[i + 1];
    bool good = true;
    if (name == "attempt") {
      good = attempt_given = read_number(value, live.attempt) && live.attempt > 0;
    } else if (name == "tokens") {
      good = read_number(value, live.tokens);
    } else if (name == "text_at") {
      good = read_number(value, live.text_at);
    } else if (name == "text") {
      live.text = value;
    } else if (name == "reasoning_at") {
      good = read_number(value, live.reasoning_at);
    } else if (name == "reasoning") {
      live.reasoning = value;
    }
    if (!good) return std::nullopt;
  }
  if (!attempt_given) return std::nullopt;
  return live;
}

std::uint32_t live_hash(std::uint32_t before, std::string_view bytes) {
  for (const char byte : bytes) before = (before ^ static_cast<std::uint8_t>(byte)) * 16777619U;
  return before;
}

}  // namespace sluice
