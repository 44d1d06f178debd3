// Chance, as something that is passed in. Safe for concurrent use.
#pragma once

#include <cstdint>
#include <mutex>
#include <random>
#include <span>

namespace sluice {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(std::span<std::uint8_t> bytes) = 0;
  std::uint64_t next();
  // Evenly distributed in [0, 1).
  double uniform();
};

// The kernel's generator: fit for keys, secrets and ids.
class SystemRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> bytes) override;
};

// Repeatable, for tests and seeded runs. Never for secrets.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : engine_(seed) {}
  void fill(std::span<std::uint8_t> bytes) override;

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

}  // namespace sluice
