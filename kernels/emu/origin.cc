#include <map>
#include <utility>
#include <vector>

#include "kernels/emu/access.h"
#include "kernels/emu/symbols.h"

namespace simt::emu {
namespace {

// Lines and code far from the executable's start are numbered from here on.
constexpr uint32_t kNumbered = 0x80000000;

struct Numbers {
  std::map<std::pair<const char*, int>, uint32_t> of_place;
  std::map<const void*, uint32_t> of_code;
  std::vector<Origin> origins;
};

Numbers& All() {
  static Numbers& numbers = *new Numbers;
  return numbers;
}

template <typename Map, typename Key>
uint32_t NumberOf(Map& map, const Key& key, const Origin& origin) {
  auto [it, is_new] = map.try_emplace(key);
  if (is_new) {
    it->second = kNumbered | static_cast<uint32_t>(All().origins.size());
    All().origins.push_back(origin);
  }
  return it->second;
}

}  // namespace

uint32_t OriginNumber(const Origin& origin) {
  if (origin.code == nullptr)
    return NumberOf(All().of_place,
                    std::pair(origin.place.file, origin.place.line), origin);
  const uintptr_t offset =
      reinterpret_cast<uintptr_t>(origin.code) - LoadBase();
  if (offset < kNumbered) return static_cast<uint32_t>(offset);
  return NumberOf(All().of_code, origin.code, origin);
}

std::string OriginText(uint32_t number) {
  Origin origin;
  if (number & kNumbered)
    origin = All().origins[number & ~kNumbered];
  else
    origin.code = reinterpret_cast<const void*>(LoadBase() + number);
  if (origin.code != nullptr) return " at " + LineOf(origin.code);
  if (origin.place.line == 0) return "";
  return std::string(" at ") + origin.place.file + ":" +
         std::to_string(origin.place.line);
}

}  // namespace simt::emu
