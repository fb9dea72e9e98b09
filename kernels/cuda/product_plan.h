#pragma once

#include <span>

namespace quatrain::cuda {

// How an int4 linear can be multiplied on a GPU.
enum class ProductKernel {
  kFewRows,     // exact, at most 16 tokens: int4_few_rows.cu
  kMediumRows,  // exact, any number of tokens: int4_medium_rows.cu
  kDequantize,  // rounds differently: dequant_product.cu and cublasLt
};

// What a kernel is to the choice.
struct ProductKernelInfo {
  ProductKernel kernel;
  const char* name;
  bool exact;      // gives the bits of docs/numerics.md
  int max_tokens;  // 0: any number
  // Every instruction that it takes from ptx.h has published semantics, or a
  // conformance file of real hardware that the emulated device reproduces.
  bool conforms;
};
std::span<const ProductKernelInfo> ProductKernels();

struct ProductShape {
  int tokens = 0;
  int rows = 0;  // outputs
  int cols = 0;  // K
  int compute_capability = 80;
  bool deterministic = false;
  bool has_library = true;  // cublasLt
};

// A pure function of its argument. Only exact kernels where deterministic;
// never one that does not conform.
ProductKernel ChooseProduct(const ProductShape& shape);

// From how many tokens on the default mode leaves the exact kernels, and
// whether a run on that architecture showed it (docs/numbers.md).
struct ProductCrossover {
  int compute_capability;
  int dequantize_from;
  bool measured;
};
std::span<const ProductCrossover> ProductCrossovers();

}  // namespace quatrain::cuda
