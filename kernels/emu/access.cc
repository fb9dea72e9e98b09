#include "kernels/emu/access.h"

#include <string>

#include "kernels/emu/buffers.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"

namespace simt::emu {
namespace {

void CheckAlignment(const void* address, size_t bytes, Place where) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    Fail(Fault::kMisaligned, where, "%zu bytes at %p, not on their boundary",
         bytes, address);
}

}  // namespace

void FailBounds(const void* address, size_t bytes, const Origin& origin) {
  const HooksOff off;
  const FixedText line(OriginText(OriginNumber(origin)));
  const auto* p = static_cast<const std::byte*>(address);
  const Arena& arena = CurrentLane()->cta->arena;
  if (arena.Contains(p))
    Fail(Fault::kSharedBounds, {},
         "%zu bytes at offset %td of shared memory, outside of every object "
         "(%zu dynamic bytes)%s",
         bytes, p - arena.data(), arena.dynamic_bytes(), line.text);
  if (const Allocation* a = FindAllocation(p))
    Fail(Fault::kDeviceBounds, {},
         "%zu bytes at offset %td of a device buffer of %zu bytes%s", bytes,
         p - a->begin, a->bytes, line.text);
  Fail(Fault::kWildPointer, {},
       "%zu bytes at %p, which is neither shared memory nor a device buffer%s",
       bytes, address, line.text);
}

void Touch(const void* address, size_t bytes, Access access, Origin origin) {
  Lane& me = *CurrentLane();
  Arena& arena = me.cta->arena;
  if (arena.Contains(address)) {
    if (!arena.Accessible(address, bytes)) FailBounds(address, bytes, origin);
    if (checking) SharedAccess(me, address, bytes, access, origin);
    return;
  }
  Allocation* a = FindAllocation(address);
  if (a == nullptr || !a->Contains(address, bytes))
    FailBounds(address, bytes, origin);
  if (checking) GlobalAccess(me, *a, address, bytes, access, origin);
}

void TouchShared(const void* address, size_t bytes, Access access,
                 Place where) {
  CheckAlignment(address, bytes, where);
  if (!CurrentLane()->cta->arena.Contains(address))
    Fail(Fault::kWildPointer, where, "%p is not in this block's shared memory",
         address);
  Touch(address, bytes, access, {where});
}

void TouchGlobal(const void* address, size_t bytes, Access access,
                 Place where) {
  CheckAlignment(address, bytes, where);
  if (FindAllocation(address) == nullptr) FailBounds(address, bytes, {where});
  Touch(address, bytes, access, {where});
}

}  // namespace simt::emu
