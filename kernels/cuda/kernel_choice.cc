#include "kernels/cuda/kernel_choice.h"

namespace quatrain::cuda {
namespace {

constexpr int kMostFewRows = 16;  // tokens

constexpr KernelInfo<ProductKernel> kProducts[] = {
    {ProductKernel::kFused, "int4_few_rows", true, true},
    {ProductKernel::kFewRows, "int4_few_rows", true, true},
    {ProductKernel::kMediumRows, "int4_medium_rows", true, true},
    {ProductKernel::kHalfRows, "int4_half_rows", false, true},
    {ProductKernel::kDequantize, "dequant_product", false, true},
};

constexpr KernelInfo<AttentionKernel> kAttentions[] = {
    {AttentionKernel::kExact, "attention", true, true},
    {AttentionKernel::kTensorCores, "attention_mma", false, false},
};

// No run on a GPU has filled a line yet.
constexpr Showed kShowed[] = {
    {80, 0, 0, false, false},
    {86, 0, 0, false, false},
    {89, 0, 0, false, false},
    {90, 0, 0, false, false},
};

// Of the latest architecture that is not later.
const Showed& ShowedOn(int compute_capability) {
  const Showed* best = &kShowed[0];
  for (const Showed& row : kShowed)
    if (row.compute_capability <= compute_capability) best = &row;
  return *best;
}

template <typename Kernel>
const KernelInfo<Kernel>& InfoOf(std::span<const KernelInfo<Kernel>> infos,
                                 Kernel kernel) {
  return infos[static_cast<size_t>(kernel)];  // in the order of the enum
}

// Why a kernel is not chosen on that architecture; empty: it may be.
template <typename Kernel>
std::string WhyNot(const KernelInfo<Kernel>& info, bool is_faster,
                   const Showed& showed) {
  if (!info.conforms)
    return "no conformance file of real hardware for an instruction that it "
           "uses";
  if (info.exact || is_faster) return "";
  return showed.is_measured ? "a benchmark showed it slower"
                            : "no benchmark has shown it faster";
}

std::string WhyNotHalf(const Showed& showed) {
  return WhyNot(InfoOf(ProductKernels(), ProductKernel::kHalfRows),
                showed.half_from > 0, showed);
}

std::string WhyNotDequantize(const Showed& showed) {
  return WhyNot(InfoOf(ProductKernels(), ProductKernel::kDequantize),
                showed.dequantize_from > 0, showed);
}

std::string WhyNotTensorCores(const Showed& showed) {
  return WhyNot(InfoOf(AttentionKernels(), AttentionKernel::kTensorCores),
                showed.mma_is_faster, showed);
}

}  // namespace

std::span<const KernelInfo<ProductKernel>> ProductKernels() {
  return kProducts;
}

std::span<const KernelInfo<AttentionKernel>> AttentionKernels() {
  return kAttentions;
}

std::span<const Showed> Measurements() { return kShowed; }

ProductKernel ChooseProduct(const ProductShape& shape, const Showed& showed) {
  if (!shape.deterministic && shape.has_library &&
      WhyNotDequantize(showed).empty() &&
      shape.tokens >= showed.dequantize_from)
    return ProductKernel::kDequantize;
  if (!shape.deterministic && WhyNotHalf(showed).empty() &&
      shape.tokens >= showed.half_from)
    return ProductKernel::kHalfRows;
  if (shape.fused_fits) return ProductKernel::kFused;
  return shape.tokens <= kMostFewRows ? ProductKernel::kFewRows
                                      : ProductKernel::kMediumRows;
}

ProductKernel ChooseProduct(const ProductShape& shape) {
  return ChooseProduct(shape, ShowedOn(shape.compute_capability));
}

AttentionKernel ChooseAttention(const AttentionShape& shape,
                                const Showed& showed) {
  return !shape.deterministic && shape.mma_fits &&
                 WhyNotTensorCores(showed).empty()
             ? AttentionKernel::kTensorCores
             : AttentionKernel::kExact;
}

AttentionKernel ChooseAttention(const AttentionShape& shape) {
  return ChooseAttention(shape, ShowedOn(shape.compute_capability));
}

std::vector<std::string> PassedOver(int compute_capability) {
  const Showed& showed = ShowedOn(compute_capability);
  std::vector<std::string> lines;
  const auto say = [&](const char* source, const std::string& why) {
    if (!why.empty())
      lines.push_back(std::string(source) + " is not chosen on sm_" +
                      std::to_string(compute_capability) + ": " + why);
  };
  say("int4_half_rows", WhyNotHalf(showed));
  say("dequant_product", WhyNotDequantize(showed));
  say("attention_mma", WhyNotTensorCores(showed));
  return lines;
}

}  // namespace quatrain::cuda
