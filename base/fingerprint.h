#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace quatrain {

// A 64-bit FNV-1a sum over pieces, the same on every machine; each piece counts
// with its length, so that ("ab", "c") is not ("a", "bc"). Not for secrets.
class Fingerprint {
 public:
  void Add(std::span<const std::byte> bytes) {
    AddNumber(bytes.size());
    for (const std::byte b : bytes) Mix(static_cast<uint8_t>(b));
  }
  void Add(std::string_view text) {
    Add(std::as_bytes(std::span(text.data(), text.size())));
  }
  void AddNumber(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8)
      Mix(static_cast<uint8_t>(number >> shift));
  }
  uint64_t value() const { return value_; }

 private:
  void Mix(uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3u; }

  uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace quatrain
