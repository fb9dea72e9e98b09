#include "kernels/cuda/kernel_choice.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain::cuda {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Showed kNothing{90, 0, 0, false, false};
constexpr Showed kFaster{90, 17, 300, true, true};
constexpr Showed kHalfNever{90, 0, 300, true, true};

const KernelInfo<ProductKernel>& InfoOf(ProductKernel kernel) {
  for (const KernelInfo<ProductKernel>& info : ProductKernels())
    if (info.kernel == kernel) return info;
  ADD_FAILURE() << "no such kernel";
  return ProductKernels().front();
}

// Calls body(shape, showed) with every shape of a sweep.
template <typename Body>
void ForEachShape(Body body) {
  for (const Showed& showed : {kNothing, kFaster, kHalfNever})
    for (const bool deterministic : {false, true})
      for (const bool has_library : {false, true})
        for (int tokens = 1; tokens <= 8192; tokens += tokens < 600 ? 1 : 97)
          for (const bool fits : {false, tokens <= 4})
            body(ProductShape{tokens, fits, 90, deterministic, has_library},
                 showed);
}

TEST(KernelChoiceTest, TakesOnlyWhatIsAllowed) {
  ForEachShape([](const ProductShape& shape, const Showed& showed) {
    const ProductKernel kernel = ChooseProduct(shape, showed);
    const KernelInfo<ProductKernel>& info = InfoOf(kernel);
    EXPECT_TRUE(info.conforms) << info.source;
    EXPECT_TRUE(info.exact || !shape.deterministic) << info.source;
    EXPECT_TRUE(info.exact || showed.is_measured) << info.source;
    EXPECT_TRUE(kernel != ProductKernel::kDequantize || shape.has_library);
    EXPECT_TRUE(kernel != ProductKernel::kFewRows || shape.tokens <= 16);
    EXPECT_TRUE(kernel != ProductKernel::kFused || shape.fused_fits);
  });
}

// A bucket of tokens is captured once: the choice may not go back and forth.
TEST(KernelChoiceTest, ChangesOnceAtEachThreshold) {
  ForEachShape([](ProductShape shape, const Showed& showed) {
    const ProductKernel kernel = ChooseProduct(shape, showed);
    shape.tokens += 1;
    EXPECT_GE(static_cast<int>(ChooseProduct(shape, showed)),
              static_cast<int>(kernel));
  });
}

TEST(KernelChoiceTest, HasALineForEveryArchitectureThatIsBuilt) {
  std::vector<int> capabilities;
  for (const Showed& row : Measurements()) {
    capabilities.push_back(row.compute_capability);
    // What is said to be faster was measured.
    EXPECT_TRUE(
        row.is_measured ||
        (row.half_from == 0 && row.dequantize_from == 0 && !row.mma_is_faster));
  }
  EXPECT_THAT(capabilities, ElementsAre(80, 86, 89, 90));
}

TEST(KernelChoiceTest, LongPromptsLeaveTheExactKernelsWhereThatIsFaster) {
  ProductShape shape{.tokens = 4096};
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kDequantize);
  EXPECT_EQ(ChooseProduct(shape, kNothing), ProductKernel::kMediumRows);
  shape.deterministic = true;
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kMediumRows);
  shape.tokens = 16;
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kFewRows);
  shape = {.tokens = 4, .fused_fits = true};
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kFused);
}

TEST(KernelChoiceTest, HalfActivationsServeWhatIsBetween) {
  ProductShape shape{.tokens = 17};
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kHalfRows);
  EXPECT_EQ(ChooseProduct(shape, kHalfNever), ProductKernel::kMediumRows);
  EXPECT_EQ(ChooseProduct(shape, kNothing), ProductKernel::kMediumRows);
  shape.tokens = 16;
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kFewRows);
  shape.tokens = 4096;
  shape.has_library = false;
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kHalfRows);
  shape.deterministic = true;
  EXPECT_EQ(ChooseProduct(shape, kFaster), ProductKernel::kMediumRows);
}

// Its ex2 is approximate: how, no document says.
TEST(KernelChoiceTest, AttentionOnTensorCoresWaitsForAConformanceFile) {
  EXPECT_EQ(ChooseAttention({.mma_fits = true}, kFaster),
            AttentionKernel::kExact);
}

TEST(KernelChoiceTest, SaysWhatIsPassedOver) {
  EXPECT_THAT(
      PassedOver(90),
      ElementsAre(HasSubstr("int4_half_rows is not chosen on sm_90: no "
                            "benchmark has shown it faster"),
                  HasSubstr("dequant_product is not chosen on sm_90: no "
                            "benchmark has shown it faster"),
                  HasSubstr("attention_mma is not chosen on sm_90: no "
                            "conformance file")));
  EXPECT_THAT(PassedOver(86), testing::SizeIs(3));
}

}  // namespace
}  // namespace quatrain::cuda
