#include "kernels/cuda/product_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain::cuda {
namespace {

const ProductKernelInfo& InfoOf(ProductKernel kernel) {
  for (const ProductKernelInfo& info : ProductKernels())
    if (info.kernel == kernel) return info;
  ADD_FAILURE() << "no such kernel";
  return ProductKernels().front();
}

// Calls body with every shape of a sweep over layers and architectures.
template <typename Body>
void ForEachShape(Body body) {
  for (const int capability : {80, 86, 89, 90, 100})
    for (const auto& [rows, cols] : {std::pair{4096, 4096},
                                     {22016, 4096},
                                     {8192, 28672},
                                     {37, 130},
                                     {0, 128}})
      for (const bool deterministic : {false, true})
        for (const bool has_library : {false, true})
          for (int tokens = 1; tokens <= 8192; tokens += tokens < 600 ? 1 : 97)
            body(ProductShape{tokens, rows, cols, capability, deterministic,
                              has_library});
}

TEST(ProductPlanTest, TakesOnlyWhatIsAllowed) {
  ForEachShape([](const ProductShape& shape) {
    const ProductKernelInfo& info = InfoOf(ChooseProduct(shape));
    EXPECT_TRUE(info.conforms) << info.name;
    EXPECT_TRUE(info.exact || !shape.deterministic) << info.name;
    EXPECT_TRUE(info.kernel != ProductKernel::kDequantize || shape.has_library);
    EXPECT_TRUE(info.max_tokens == 0 || shape.tokens <= info.max_tokens)
        << info.name << " for " << shape.tokens << " tokens";
  });
}

// A bucket of tokens is captured once: the choice may not go back and forth.
TEST(ProductPlanTest, ChangesOnceAtEachThreshold) {
  ForEachShape([](ProductShape shape) {
    const ProductKernel kernel = ChooseProduct(shape);
    shape.tokens += 1;
    EXPECT_GE(static_cast<int>(ChooseProduct(shape)), static_cast<int>(kernel));
  });
}

TEST(ProductPlanTest, HasARowForEveryArchitectureThatIsBuilt) {
  std::vector<int> capabilities;
  for (const ProductCrossover& row : ProductCrossovers())
    capabilities.push_back(row.compute_capability);
  EXPECT_THAT(capabilities, testing::ElementsAre(80, 86, 89, 90));
}

TEST(ProductPlanTest, LongPromptsLeaveTheExactKernelsInTheDefaultModeOnly) {
  ProductShape shape{.tokens = 4096, .rows = 4096, .cols = 4096};
  EXPECT_EQ(ChooseProduct(shape), ProductKernel::kDequantize);
  shape.deterministic = true;
  EXPECT_EQ(ChooseProduct(shape), ProductKernel::kMediumRows);
  shape.tokens = 16;
  EXPECT_EQ(ChooseProduct(shape), ProductKernel::kFewRows);
}

}  // namespace
}  // namespace quatrain::cuda
