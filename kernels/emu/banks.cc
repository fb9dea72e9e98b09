#include "kernels/emu/banks.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace simt::emu {
namespace {

constexpr int kBanks = 32;
constexpr int kMostWords = 32 * 4;

}  // namespace

int BankPasses(const void* const* addresses, int count, int bytes) {
  std::array<uintptr_t, kMostWords> words;
  int num_words = 0;
  for (int i = 0; i < count; ++i) {
    const auto first = reinterpret_cast<uintptr_t>(addresses[i]) / 4;
    for (int w = 0; w < std::max(1, bytes / 4); ++w)
      words[num_words++] = first + w;
  }
  std::sort(words.begin(), words.begin() + num_words);
  const auto* end = std::unique(words.begin(), words.begin() + num_words);
  std::array<int, kBanks> load = {};
  for (const auto* word = words.begin(); word != end; ++word)
    ++load[*word % kBanks];
  return *std::max_element(load.begin(), load.end());
}

}  // namespace simt::emu
