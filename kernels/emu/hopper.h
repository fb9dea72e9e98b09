#pragma once

#include <cstdint>

#include "kernels/emu/place.h"

// What stands behind the sm_90 wrappers of ptx.h. None of it has been compared
// with a device yet.
namespace simt::emu {

void MbarrierInit(uint64_t* barrier, uint32_t count, Place where);
// Arrives `arrivals` (0 or 1) times and expects `bytes` more.
void MbarrierArrive(uint64_t* barrier, uint32_t arrivals, uint32_t bytes,
                    Place where);
// Whether the phase of this parity is over. Copies arrive while somebody asks.
bool MbarrierTryWait(uint64_t* barrier, uint32_t parity, Place where);

void FenceProxyAsync();

void BulkCopy(void* to, const void* from, uint32_t bytes, uint64_t* barrier,
              Place where);

// A matrix in device memory and the box that one copy takes of it.
struct TensorMap2d {
  const void* base = nullptr;
  int element_bytes = 0;
  uint64_t columns = 0;  // in elements
  uint64_t rows = 0;
  uint64_t row_bytes = 0;
  uint32_t box_columns = 0;
  uint32_t box_rows = 0;
  bool swizzle128 = false;
};

// What the driver would refuse: false.
bool MakeTensorMap(const TensorMap2d& wanted, TensorMap2d* map);

void BulkTensor2d(void* to, const TensorMap2d& map, int column, int row,
                  uint64_t* barrier, Place where);

// One wgmma m64nNk16, of which a warp holds rows 16 * (warp % 4) and on.
struct WgmmaCall {
  float* d = nullptr;
  int n = 0;
  bool bf16 = false;
  bool accumulate = true;
  const uint32_t* a_registers = nullptr;  // null: by descriptor
  uint64_t a_descriptor = 0;
  uint64_t b_descriptor = 0;
};

uint64_t WgmmaDescriptor(const void* tile, uint32_t stride_bytes, Place where);
void Wgmma(const WgmmaCall& call, Place where);
void WgmmaCommit();
void WgmmaWait(int groups);

}  // namespace simt::emu
