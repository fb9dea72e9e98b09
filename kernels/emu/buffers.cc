#include "kernels/emu/buffers.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/emu/engine.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"

namespace simt {
namespace emu {
namespace {

constexpr size_t kAlignment = 256;
#ifdef SIMT_ASAN
constexpr size_t kGuard = 0;  // AddressSanitizer has its own
#else
constexpr size_t kGuard = 256;
#endif

// By their first byte.
std::map<const std::byte*, Allocation>& Allocations() {
  static auto& all = *new std::map<const std::byte*, Allocation>;
  return all;
}

Allocation* last_found = nullptr;

// Just outside is somebody's overflow rather than a wild pointer.
constexpr size_t kNear = 256;

bool Near(const Allocation& a, const std::byte* p) {
  return p + kNear >= a.begin && p < a.begin + a.bytes + kNear;
}

}  // namespace

Allocation* FindAllocation(const void* address) {
  const auto* p = static_cast<const std::byte*>(address);
  if (last_found != nullptr && last_found->Contains(p, 1)) return last_found;
  auto& all = Allocations();
  const auto above = all.upper_bound(p);
  if (above != all.begin()) {
    Allocation& below = std::prev(above)->second;
    if (below.Contains(p, 1) || Near(below, p)) return last_found = &below;
  }
  if (above != all.end() && Near(above->second, p))
    return last_found = &above->second;
  return nullptr;
}

void ForEachAllocation(void (*visit)(Allocation&)) {
  for (auto& [begin, allocation] : Allocations()) visit(allocation);
}

}  // namespace emu

void* device_malloc(size_t bytes) {
  using emu::kGuard;
  if (bytes == 0) return nullptr;
  const std::lock_guard lock(emu::TheMachine().mutex);
  void* memory = nullptr;
  if (posix_memalign(&memory, emu::kAlignment, bytes + 2 * kGuard) != 0)
    return nullptr;
  std::memset(memory, 0xFF, bytes + 2 * kGuard);
  std::byte* begin = static_cast<std::byte*>(memory) + kGuard;
  emu::Allocations()[begin] = {begin, bytes, nullptr, nullptr};
  return begin;
}

void device_free(void* memory) {
  if (memory == nullptr) return;
  const std::lock_guard lock(emu::TheMachine().mutex);
  device_synchronize();
  const auto it =
      emu::Allocations().find(static_cast<const std::byte*>(memory));
  if (it == emu::Allocations().end())
    return emu::RecordError(Fault::kBadCall,
                            "device_free(%p): not from device_malloc", memory);
  emu::last_found = nullptr;
  emu::Allocations().erase(it);
  std::free(static_cast<std::byte*>(memory) - emu::kGuard);
}

void set_resident_blocks(int blocks) {
  const std::lock_guard lock(emu::TheMachine().mutex);
  emu::TheMachine().max_resident = blocks;
}

void tolerate(Fault fault) {
  const std::lock_guard lock(emu::TheMachine().mutex);
  emu::TheMachine().tolerated.insert(fault);
}

}  // namespace simt
