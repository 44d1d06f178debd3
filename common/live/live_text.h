// The live text of a running job in Redis: stream `sluice:tokens:<job>:<generation>`, and the key
// `sluice:watch:<job>` by which a producer asks for it.
//
// An entry says which bytes of the answer it holds, so that readers can drop what they know (an answer that
// is told again from its beginning, a second attempt that says the same) and see what they missed. Offsets
// and lengths count bytes of UTF-8; pieces hold whole characters only, and thoughts come before the text.
//
// Plain values; the functions are safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids/ids.h"

namespace sluice {

struct LiveText {
  int attempt = 1;               // Which start of the job says it.
  std::size_t text_at = 0;       // Where `text` begins in the answer,
  std::size_t reasoning_at = 0;  // and where `reasoning` does in its thoughts.
  std::string text;              // Both empty: the start has begun.
  std::string reasoning;
  std::int64_t tokens = 0;  // Generated so far.
  bool operator==(const LiveText&) const = default;
};

std::string live_text_key(const JobId& id, std::int64_t generation);
std::string live_watch_key(const JobId& id);

// The fields of a stream's entry: name, value, name, value …
std::vector<std::string> live_text_fields(const LiveText& live);
// Nullopt: not such an entry. Unknown fields are ignored.
std::optional<LiveText> live_text_from(std::span<const std::string> fields);

// A hash of an answer as it is told, piece after piece: whoever comes back says by it what it was told.
inline constexpr std::uint32_t kLiveHashBegin = 2166136261U;
std::uint32_t live_hash(std::uint32_t before, std::string_view bytes);

}  // namespace sluice
