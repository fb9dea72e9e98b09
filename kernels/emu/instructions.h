#pragma once

#include <cstdint>

#include "kernels/emu/place.h"

// What stands behind the wrappers of ptx.h.
namespace simt::emu {

void MmaInt8(int32_t* d, const uint32_t* a, const uint32_t* b, bool signed_a,
             Place where);
void MmaF16(float* d, const uint32_t* a, const uint32_t* b, Place where);
void MmaBf16(float* d, const uint32_t* a, const uint32_t* b, Place where);

// `registers`: as many as matrices, 1, 2 or 4.
void Ldmatrix(uint32_t* registers, int matrices, bool transposed,
              const void* row, Place where);

// Nothing arrives before the caller's WaitCopies; until then the destination
// holds poison. Bytes past `source_bytes` become 0.
void CopyAsync(void* to, const void* from, int bytes, int source_bytes,
               Place where);
void CommitCopies();
// Until all but the latest `groups` groups have arrived.
void WaitCopies(int groups);

uint32_t LoadAcquire(const uint32_t* word, Place where);
void StoreRelease(uint32_t* word, uint32_t value, Place where);
uint32_t AddRelease(uint32_t* word, uint32_t value, Place where);

}  // namespace simt::emu
