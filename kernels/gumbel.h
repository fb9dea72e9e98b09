#pragma once

#include <array>
#include <cstdint>

#include "kernels/math.h"
#include "kernels/step.h"

// The noise of a draw: a pure function of (seed, choice, position, token id),
// so that no draw depends on the order or the cut of the vocabulary.
namespace quatrain {

using PhiloxBlock = std::array<uint32_t, 4>;

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy
// as 1, 2, 3", SC 2011).
inline PhiloxBlock Philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key0,
               static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key1,
               static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The four words of ids 4 * group .. 4 * group + 3.
inline PhiloxBlock DrawBits(const SamplingSetup& setup, int position,
                            uint32_t group) {
  return Philox({group, static_cast<uint32_t>(position), setup.choice, 0},
                static_cast<uint32_t>(setup.seed),
                static_cast<uint32_t>(setup.seed >> 32));
}

// 32 random bits to a standard Gumbel value, -log(-log(1 - w)). w = (bits +
// 1/2) / 2^31 of 31 bits is finest near 0, where the large values come from.
inline float GumbelOfBits(uint32_t bits) {
  const float w = std::fma(static_cast<float>(static_cast<int32_t>(bits >> 1)),
                           0x1p-31f, 0x1p-32f);
  float x = 1.0f - w;
  x = x > 0x1p-25f ? x : 0x1p-25f;
  LogParts parts = SplitForLog(x);
  // 1 - w would lose the last bits of a small w.
  parts.f = w < 0.25f ? -w : parts.f;
  parts.e = w < 0.25f ? 0.0f : parts.e;
  return -Log(-LogOfParts(parts.f, parts.e));
}

inline float Gumbel(const SamplingSetup& setup, int position, int32_t token) {
  const uint32_t id = static_cast<uint32_t>(token);
  return GumbelOfBits(DrawBits(setup, position, id >> 2)[id & 3]);
}

// What the draw takes the largest of. temperature > 0.
inline float Perturbed(float logit, const SamplingSetup& setup, int position,
                       int32_t token) {
  return logit / setup.temperature + Gumbel(setup, position, token);
}

}  // namespace quatrain
