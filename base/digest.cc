#include "base/digest.h"

#include <algorithm>

namespace quatrain {
namespace {

// The finisher of SplitMix64: a bijection in which every input bit reaches
// every output bit.
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t LittleEndian(std::span<const std::byte> bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

}  // namespace

uint64_t ChainDigest(uint64_t previous, std::span<const std::byte> bytes) {
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
  uint64_t digest = Mix(previous + kStep + bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const size_t length = std::min<size_t>(8, bytes.size() - i);
    digest = Mix((digest + kStep) ^ LittleEndian(bytes.subspan(i, length)));
  }
  return digest;
}

}  // namespace quatrain
