#pragma once

#include <cstddef>
#include <functional>

#include "kernels/emu/counters.h"
#include "kernels/emu/report.h"
#include "kernels/emu/schedule.h"
#include "kernels/emu/stream.h"

// The host side of the emulated device: what tests and the device runtime call.
// Every function may be called from any thread; one launch runs at a time.
namespace simt {

// Filled with 0xFF: NaN as any float, -1 as integer. 256-byte aligned; bounds
// are exact. Null for 0 bytes.
void* device_malloc(size_t bytes);
// Waits for all streams first. `memory` is null or from device_malloc.
void device_free(void* memory);

// At most this many blocks are started before one has to end; 132 at first.
void set_resident_blocks(int blocks);

// True where every access of a kernel is seen (the check build).
bool checks_accesses();

// Of the next launch only: findings of this kind are ignored. The test says
// why.
void tolerate(Fault fault);

}  // namespace simt
