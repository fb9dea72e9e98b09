#include <cstring>

#include "kernels/emu/access.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/instructions.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/traffic.h"

// cp.async: as late as it may be.
namespace simt::emu {
namespace {

// The source is read only now: whoever overwrites it meanwhile is seen.
void Arrive(const PendingCopy& copy) {
  std::memcpy(copy.to, copy.from, copy.source_bytes);
  std::memset(copy.to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
  TouchShared(copy.to, copy.bytes, Access::kCopyArrive, copy.where);
}

}  // namespace

void CopyAsync(void* to, const void* from, int bytes, int source_bytes,
               Place where) {
  if (source_bytes < 0 || source_bytes > bytes)
    Fail(Fault::kBadCall, where, "cp.async of %d bytes from %d", bytes,
         source_bytes);
  TouchShared(to, bytes, Access::kCopyIssue, where);
  if (source_bytes > 0) {
    if (reinterpret_cast<uintptr_t>(from) % bytes != 0)
      Fail(Fault::kMisaligned, where, "cp.async of %d bytes from %p", bytes,
           from);
    Touch(from, source_bytes, Access::kRead, {where});
    LogGlobal(from, source_bytes, false, {where});
  }
  std::memset(to, 0xFF, bytes);
  Lane& me = *CurrentLane();
  me.copies.push_back({static_cast<std::byte*>(to),
                       static_cast<const std::byte*>(from), bytes, source_bytes,
                       me.copy_group, where});
  ++TheMachine().counters.async_copies;
}

void CommitCopies() { ++CurrentLane()->copy_group; }

void WaitCopies(int groups) {
  Lane& me = *CurrentLane();
  size_t kept = 0;
  for (const PendingCopy& copy : me.copies) {
    // Closed groups are those below copy_group, the latest of them last.
    if (copy.group + groups < me.copy_group)
      Arrive(copy);
    else
      me.copies[kept++] = copy;
  }
  me.copies.resize(kept);
}

}  // namespace simt::emu
