#pragma once

#include "kernels/emu/cta.h"

namespace simt::emu {

// Of a thread whose kernel function has returned; comes back with the next
// block.
void EndThread(Lane& me);

// Back to the host's loop; what is on the stack is forgotten.
[[noreturn]] void LeaveForGood();

const char* OpName(OpKind kind);

// What every thread of a block that cannot go on waits for.
std::string DescribeWaiting(Cta& cta);

}  // namespace simt::emu
