#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/emu/access.h"
#include "kernels/emu/banks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/instructions.h"
#include "kernels/emu/machine.h"

namespace simt::emu {
namespace {

struct LdmatrixCall {
  uint32_t* registers;
  const void* row;
  int matrices;
};

template <bool kTransposed>
void Load(uint32_t, void* const* args) {
  const int matrices = static_cast<LdmatrixCall*>(args[0])->matrices;
  LaunchCounters& counters = TheMachine().counters;
  for (int j = 0; j < matrices; ++j) {
    uint16_t m[8][8];
    std::array<const void*, 8> rows;
    for (int r = 0; r < 8; ++r) {
      rows[r] = static_cast<LdmatrixCall*>(args[8 * j + r])->row;
      std::memcpy(m[r], rows[r], sizeof(m[r]));
    }
    counters.ldmatrix_passes += BankPasses(rows.data(), 8, 16);
    ++counters.ldmatrix_minimum;
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t low = kTransposed ? m[2 * t][g] : m[g][2 * t];
      const uint32_t high = kTransposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
      static_cast<LdmatrixCall*>(args[lane])->registers[j] = high << 16 | low;
    }
  }
}

}  // namespace

void Ldmatrix(uint32_t* registers, int matrices, bool transposed,
              const void* row, Place where) {
  if (ExistingLanes() != ~0u)
    Fail(Fault::kBadCall, where, "ldmatrix in a warp of fewer than 32 threads");
  // The addresses of the lanes behind the last matrix are ignored.
  if (CurrentLane()->lane < 8 * matrices)
    TouchShared(row, 16, Access::kRead, where);
  LdmatrixCall call{registers, row, matrices};
  Rendezvous(~0u, OpKind::kLdmatrix, transposed ? Load<true> : Load<false>,
             &call, where);
}

}  // namespace simt::emu
