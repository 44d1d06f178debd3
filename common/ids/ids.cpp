#include "common/ids/ids.h"

#include <array>

#include "common/base/check.h"

namespace sluice {

namespace {
constexpr std::size_t kUuidLength = 36;
constexpr char kHex[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_uuid7(std::string_view text) {
  if (text.size() != kUuidLength) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : hex_value(text[i]) < 0) return false;
  }
  return text[14] == '7' && (hex_value(text[19]) & 0xc) == 0x8;
}
}  // namespace

int shard_of_tenant(const TenantId& tenant) {
  // FNV-1a, 64 bit (Fowler, Noll, Vo): stable over builds and machines, unlike std::hash.
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : tenant.value) {
    hash ^= static_cast<std::uint8_t>(c);
    hash *= 0x100000001b3ULL;
  }
  return static_cast<int>((hash ^ (hash >> 32)) % kShards);
}

std::optional<int> shard_of_id(std::string_view id) {
  if (id.size() < kUuidLength || !is_uuid7(id.substr(id.size() - kUuidLength))) return std::nullopt;
  return hex_value(id.back());
}

bool is_well_formed_id(std::string_view id, std::string_view prefix) {
  return id.starts_with(prefix) && is_uuid7(id.substr(prefix.size()));
}

std::string IdMaker::uuid(int shard, std::string_view prefix) {
  SLUICE_CHECK(shard >= 0 && shard < kShards);
  std::int64_t ms;
  std::uint32_t sequence;
  {
    std::lock_guard lock(mutex_);
    const std::int64_t now_ms = unix_millis(clock_.wall_now());
    if (now_ms > last_ms_) {
      last_ms_ = now_ms;
      sequence_ = 0;
    } else if (++sequence_ > 0xfff) {  // RFC 9562 §6.2: a counter that overflows borrows from the time.
      ++last_ms_;
      sequence_ = 0;
    }
    ms = last_ms_;
    sequence = sequence_;
  }
  std::array<std::uint8_t, 16> bytes;
  rng_.fill(bytes);
  for (int i = 0; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(ms >> (8 * (5 - i)));
  bytes[6] = static_cast<std::uint8_t>(0x70 | (sequence >> 8));
  bytes[7] = static_cast<std::uint8_t>(sequence);
  bytes[8] = static_cast<std::uint8_t>(0x80 | (bytes[8] & 0x3f));
  bytes[15] = static_cast<std::uint8_t>((bytes[15] & 0xf0) | shard);
  std::string text(prefix);
  text.reserve(prefix.size() + kUuidLength);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 0xf];
  }
  return text;
}

}  // namespace sluice
