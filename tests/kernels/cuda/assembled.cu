// Wrappers of ptx.h that no other file for nvcc uses: that an assembler takes
// their text. Nothing here is launched.

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace quatrain {
namespace {

template <int kRegisters>
__device__ void MultiplyGroup(uint64_t a, uint64_t b, float* out) {
  float d[kRegisters] = {};
  const uint32_t fragment[4] = {};
  ptx::wgmma_fence();
  ptx::wgmma_m64k16_f16(d, a, b);
  ptx::wgmma_m64k16_f16(d, fragment, b);
  ptx::wgmma_m64k16_bf16(d, a, b);
  ptx::wgmma_m64k16_bf16(d, fragment, b);
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>();
  for (int i = 0; i < kRegisters; ++i) out[i] = d[i];
}

}  // namespace

__global__ void __launch_bounds__(128)
    AssembledKernel(uint32_t* word, uint64_t a, uint64_t b, float* out) {
  SIMT_SHARED(uint64_t, barrier, [1]);
  ptx::grid_dependency_wait();
  ptx::prefetch_l2(word);
  ptx::mbarrier_expect_tx(barrier, ptx::add_release(word, 1));
  ptx::grid_dependency_launch();
  MultiplyGroup<4>(a, b, out);
  MultiplyGroup<8>(a, b, out);
  MultiplyGroup<16>(a, b, out);
  MultiplyGroup<32>(a, b, out);
  MultiplyGroup<64>(a, b, out);
  MultiplyGroup<128>(a, b, out);
}

}  // namespace quatrain
