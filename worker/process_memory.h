#pragma once

#include <cstdint>

namespace quatrain {

// Anonymous memory of this process, in bytes, as the system counts it: heap,
// stacks and what DeviceMemory hands out, but no mapped files. 0 where the
// system does not tell.
int64_t AnonymousBytes();

// What this process can have: what the system and its control group can still
// give, and what it holds already. 0 where the system does not tell.
int64_t AvailableBytes();

// Makes the C library give large blocks back to the system as soon as they are
// freed, and keep few arenas, so that what was needed once does not count for
// ever. Call once, early.
void ReturnFreedMemory();

}  // namespace quatrain
