#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/emu/place.h"

namespace simt::emu {

enum class Access {
  kRead,
  kWrite,
  kAtomic,
  kAtomicRead,
  kReadOnly,    // through the path that no write of this launch may meet
  kAsyncRead,   // by the asynchronous proxy: wgmma
  kCopyIssue,   // a cp.async's destination, from now on in flight
  kCopyArrive,  // and no longer
};

inline bool Writes(Access access) {
  return access == Access::kWrite || access == Access::kAtomic ||
         access == Access::kCopyIssue || access == Access::kCopyArrive;
}
inline bool IsAtomic(Access access) {
  return access == Access::kAtomic || access == Access::kAtomicRead;
}

// A line if the wrapper knows it, else the code's address.
struct Origin {
  Place place;
  const void* code = nullptr;
};

// As one word for histories, and back as " at file:line" or "".
uint32_t OriginNumber(const Origin& origin);
std::string OriginText(uint32_t number);

// The running thread touches these bytes. Bounds are checked in every build;
// the check build looks for races and unwritten bytes. Fails if it must.
void Touch(const void* address, size_t bytes, Access access, Origin origin);

// Outside of everything.
[[noreturn]] void FailBounds(const void* address, size_t bytes,
                             const Origin& origin);

// For instructions that know one kind of memory, and natural alignment only.
void TouchShared(const void* address, size_t bytes, Access access, Place where);
void TouchGlobal(const void* address, size_t bytes, Access access, Place where);

}  // namespace simt::emu
