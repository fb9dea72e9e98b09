// The library's matrix product on the emulated device: plain loops.

#include <cstdint>

#include "kernels/cuda/runtime.h"
#include "kernels/emu/engine.h"

namespace quatrain::cuda::runtime {
namespace {

float At(const void* data, size_t i, bool bfloat) {
  if (bfloat)
    return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  return __half2float(static_cast<const __half*>(data)[i]);
}

void Multiply(const HalfGemm& gemm) {
  for (int j = 0; j < gemm.tokens; ++j)
    for (int i = 0; i < gemm.rows; ++i) {
      float sum = 0.0f;
      for (int k = 0; k < gemm.k; ++k)
        sum += At(gemm.w, static_cast<size_t>(i) * gemm.k + k, gemm.bfloat) *
               At(gemm.x, static_cast<size_t>(j) * gemm.k + k, gemm.bfloat);
      gemm.y[static_cast<size_t>(j) * gemm.rows + i] = sum;
    }
}

}  // namespace

int MultiplyHalf(const HalfGemm& gemm, QuatrainStream stream) {
  simt::host_function_async([gemm] { Multiply(gemm); }, ToStream(stream));
  return kQuatrainOk;
}

}  // namespace quatrain::cuda::runtime
