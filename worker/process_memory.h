#pragma once

#include <cstdint>

namespace quatrain {

// Anonymous memory of this process, in bytes, as the system counts it: heap,
// stacks and what DeviceMemory hands out, but no mapped files. 0 where the
// system does not tell.
int64_t AnonymousBytes();

// Half of what the system can still give to programs: the default budget of all
// ranks of a process.
int64_t DefaultMemoryBudget();

// Makes the C library give large blocks back to the system as soon as they are
// freed, and keep few arenas, so that what was needed once does not count for
// ever. Call once, early.
void ReturnFreedMemory();

}  // namespace quatrain
