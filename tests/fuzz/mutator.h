// What the fuzzers share: how long they run (SLUICE_FUZZ_ROUNDS), which numbers they draw (SLUICE_FUZZ_SEED),
// and how valid input is spoilt. A Mutator belongs to one thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "common/base/rng.h"

namespace sluice::fuzz {

inline std::uint64_t setting(const char* name, std::uint64_t fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : std::strtoull(value, nullptr, 10);
}
inline std::uint64_t rounds(std::uint64_t fallback) {
  return setting("SLUICE_FUZZ_ROUNDS", fallback);
}
inline std::uint64_t seed() {
  return setting("SLUICE_FUZZ_SEED", 1);
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed_value) : rng_(seed_value) {}

  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(rng_.next() % n); }

  // Changes single bytes and numbers where they stand.
  std::string overwrite(std::string bytes) {
    for (std::size_t times = 1 + below(3); times > 0 && !bytes.empty(); --times) {
      const std::size_t at = below(bytes.size());
      if (below(2) == 0) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
      } else {
        put_extreme(bytes, at);
      }
    }
    return bytes;
  }

  // Flips bits, overwrites numbers with extreme ones, cuts, doubles and swaps stretches.
  std::string mutate(std::string bytes, const std::vector<std::string>& words) {
    for (std::size_t times = 1 + below(4); times > 0; --times) {
      const std::size_t at = below(bytes.size() + 1);
      switch (below(7)) {
        case 0:
          if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 1:
          if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
          break;
        case 2:
          put_extreme(bytes, at);
          break;
        case 3:
          bytes.resize(at);
          break;
        case 4:
          bytes.erase(at, below(16));
          break;
        case 5:
          bytes.insert(at, bytes.substr(below(bytes.size() + 1), below(32)));
          break;
        default:
          if (!words.empty()) bytes.insert(at, words[below(words.size())]);
      }
    }
    return bytes;
  }

 private:
  void put_extreme(std::string& bytes, std::size_t at) {
    static constexpr std::uint64_t kExtremes[] = {0,          1,           0x7F,       0xFFFF,     0x7FFFFFFF,
                                                  0xFFFFFFFF, 0x100000000, 1ULL << 62, 1ULL << 63, ~0ULL};
    const std::uint64_t value = kExtremes[below(std::size(kExtremes))];
    const std::size_t width = below(2) == 0 ? 4 : 8;
    if (at + width <= bytes.size()) std::memcpy(bytes.data() + at, &value, width);
  }

  SeededRng rng_;
};

}  // namespace sluice::fuzz
