#include "kernels/emu/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/limits.h"
#include "kernels/emu/thread.h"

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simt::emu {
namespace {

size_t RoundUp(size_t value, size_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace

Arena::Arena() {
  void* base = mmap(nullptr, kReserved, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    std::fprintf(stderr, "simt: no memory for a block's shared memory\n");
    std::abort();
  }
  base_ = static_cast<std::byte*>(base);
  Close(0, kReserved);
}

Arena::~Arena() {
  Open(0, kReserved);
  munmap(base_, kReserved);
}

void Arena::Reset(size_t dynamic_bytes) {
  Close(0, used_);
  objects_.clear();
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  used_ = RoundUp(dynamic_bytes + kArenaRedzone, 16);
  Open(0, dynamic_bytes);
}

void Arena::Close(size_t begin, size_t end) {
  shadow_.Set(begin, end, ByteState::kClosed);
#ifdef SIMT_ASAN
  __asan_poison_memory_region(base_ + begin, end - begin);
#endif
}

void Arena::Open(size_t begin, size_t end) {
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(base_ + begin, end - begin);
#endif
  shadow_.Set(begin, end, ByteState::kUnwritten);
  std::memset(base_ + begin, 0xFF, end - begin);
}

void* Arena::Static(size_t bytes, size_t alignment, const void* tag,
                    Place where) {
  for (const Object& object : objects_)
    if (object.tag == tag) return base_ + object.begin;
  const size_t begin = RoundUp(used_, std::max<size_t>(alignment, 16));
  static_bytes_ += RoundUp(bytes, alignment);
  if (static_bytes_ > kMaxStaticShared ||
      begin + bytes + kArenaRedzone > kReserved)
    Fail(Fault::kBadLaunch, where,
         "%zu bytes of static shared memory, at most %zu", static_bytes_,
         kMaxStaticShared);
  objects_.push_back({begin, begin + bytes, tag});
  used_ = begin + RoundUp(bytes, 16) + kArenaRedzone;
  Open(begin, begin + bytes);
  return base_ + begin;
}

void Arena::Carve(const void* address, size_t bytes, Place where) {
  const auto* p = static_cast<const std::byte*>(address);
  if (p < base_ || p > base_ + dynamic_bytes_ ||
      bytes + kArenaRedzone > static_cast<size_t>(base_ + dynamic_bytes_ - p))
    Fail(Fault::kSharedTooSmall, where,
         "%zu bytes and a red zone are carved at offset %td of %zu bytes of "
         "dynamic shared memory",
         bytes, p - base_, dynamic_bytes_);
  const size_t begin = p - base_;
  for (const Object& object : objects_)
    if (object.tag == nullptr && object.begin == begin &&
        object.end == begin + bytes)
      return;
  objects_.push_back({begin, begin + bytes, nullptr});
  Close(begin + bytes, begin + bytes + kArenaRedzone);
}

bool Arena::Accessible(const void* address, size_t bytes) const {
  const auto* p = static_cast<const std::byte*>(address);
  if (!Contains(p)) return false;
  const size_t begin = p - base_;
  const size_t end = begin + bytes;
  if (begin < dynamic_bytes_)
    return end <= dynamic_bytes_ &&
           std::none_of(objects_.begin(), objects_.end(), [&](const Object& o) {
             return o.tag == nullptr && begin < o.end + kArenaRedzone &&
                    end > o.end;
           });
  return std::any_of(objects_.begin(), objects_.end(), [&](const Object& o) {
    return o.tag != nullptr && begin >= o.begin && end <= o.end;
  });
}

void* StaticShared(size_t bytes, size_t alignment, const void* tag,
                   Place where) {
  return CurrentLane()->cta->arena.Static(bytes, alignment, tag, where);
}

void* DynamicShared() { return CurrentLane()->cta->arena.data(); }

void Carve(const void* begin, size_t bytes, Place where) {
  CurrentLane()->cta->arena.Carve(begin, bytes, where);
}

}  // namespace simt::emu
