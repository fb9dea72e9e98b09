#pragma once

#include <cstdint>

namespace simt::emu {

// xorshift64*: a switch needs one number, and std's engines cost more than the
// switch.
class Random {
 public:
  void Seed(uint64_t seed) { state_ = seed * 0x9E3779B97F4A7C15u | 1; }

  uint32_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>(state_ * 0x2545F4914F6CDD1Du >> 32);
  }
  uint32_t Below(uint32_t bound) {
    return static_cast<uint32_t>(uint64_t{Next()} * bound >> 32);
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

 private:
  uint64_t state_ = 1;
};

}  // namespace simt::emu
