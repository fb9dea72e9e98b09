#pragma once

#include <span>
#include <string>
#include <vector>

namespace quatrain::cuda {

// How an int4 linear can be multiplied on a GPU.
enum class ProductKernel {
  kFused,       // exact, digits and all: int4_few_rows.cu
  kFewRows,     // exact, at most 16 tokens: int4_few_rows.cu
  kMediumRows,  // exact, any number of tokens: int4_medium_rows.cu
  kHalfRows,    // rounds differently, any number: int4_half_rows.cu
  kDequantize,  // rounds differently: dequant_product.cu and cublasLt
};

// And attention.
enum class AttentionKernel {
  kExact,        // attention.cu
  kTensorCores,  // rounds differently: attention_mma.cu
};

// What a kernel is to the choice.
template <typename Kernel>
struct KernelInfo {
  Kernel kernel;
  const char* source;  // kernels/cuda/SOURCE.cu
  bool exact;          // gives the bits of docs/numerics.md
  // Every wrapper of ptx.h that it uses has published semantics, or a
  // conformance file of real hardware that the emulated device reproduces
  // (scripts/check_conformance.py looks).
  bool conforms;
};
std::span<const KernelInfo<ProductKernel>> ProductKernels();
std::span<const KernelInfo<AttentionKernel>> AttentionKernels();

// What a benchmark on one kind of GPU showed: where kernels that round
// differently are faster (docs/numbers.md). Before there is one they are not
// chosen there.
struct Showed {
  int compute_capability;
  // Tokens from which it is faster than those before it; 0: never, or not
  // measured.
  int half_from, dequantize_from;
  bool mma_is_faster;  // in attention; false: it is not, or not measured
  bool is_measured;
};
std::span<const Showed> Measurements();

struct ProductShape {
  int tokens = 0;
  bool fused_fits = false;  // fused_product_fits() for its K and digits
  int compute_capability = 80;
  bool deterministic = false;
  bool has_library = true;  // cublasLt
};

struct AttentionShape {
  bool mma_fits = false;  // attend_mma() takes its cache and head_dim
  int compute_capability = 80;
  bool deterministic = false;
};

// Pure functions of their arguments. Only exact kernels where deterministic;
// never one that does not conform. How a kernel then cuts its N and K is its
// own plan (int4_medium_plan.h, attention_plan.h).
ProductKernel ChooseProduct(const ProductShape& shape);
AttentionKernel ChooseAttention(const AttentionShape& shape);
// With other measurements than those of its architecture.
ProductKernel ChooseProduct(const ProductShape& shape, const Showed& showed);
AttentionKernel ChooseAttention(const AttentionShape& shape,
                                const Showed& showed);

// One line per kernel that is passed over on that architecture, and why; for
// the log of a worker that starts.
std::vector<std::string> PassedOver(int compute_capability);

}  // namespace quatrain::cuda
