#include "kernels/cuda/product_plan.h"

namespace quatrain::cuda {
namespace {

// mma.sync, ldmatrix, cp.async and loads have published semantics; the last
// kernel uses no more than that, and a library.
constexpr ProductKernelInfo kKernels[] = {
    {ProductKernel::kFewRows, "int4_few_rows", true, 16, true},
    {ProductKernel::kMediumRows, "int4_medium_rows", true, 0, true},
    {ProductKernel::kDequantize, "dequantize", false, 0, true},
};

// Dequantizing costs 2.5 bytes of traffic a weight once, the exact kernel an
// epilogue per block and token: arithmetic puts the crossing between 256 and
// 512 tokens everywhere. No run on a GPU has placed it yet.
constexpr ProductCrossover kCrossovers[] = {
    {80, 512, false},
    {86, 512, false},
    {89, 512, false},
    {90, 512, false},
};

const ProductCrossover& CrossoverOf(int compute_capability) {
  const ProductCrossover* best = &kCrossovers[0];
  for (const ProductCrossover& row : kCrossovers)
    if (row.compute_capability <= compute_capability) best = &row;
  return *best;
}

}  // namespace

std::span<const ProductKernelInfo> ProductKernels() { return kKernels; }

std::span<const ProductCrossover> ProductCrossovers() { return kCrossovers; }

ProductKernel ChooseProduct(const ProductShape& shape) {
  if (!shape.deterministic && shape.has_library &&
      shape.tokens >= CrossoverOf(shape.compute_capability).dequantize_from)
    return ProductKernel::kDequantize;
  return shape.tokens <= 16 ? ProductKernel::kFewRows
                            : ProductKernel::kMediumRows;
}

}  // namespace quatrain::cuda
