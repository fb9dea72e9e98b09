#pragma once

#include "kernels/emu/async.h"

namespace simt::emu {

// The running thread uses it; fails if nobody has initialised it.
Mbarrier& FindMbarrier(uint64_t* barrier, Place where);

}  // namespace simt::emu
