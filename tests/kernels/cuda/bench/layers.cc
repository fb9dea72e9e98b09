// A layer's products with what stands between them, as a step runs them: digits
// (with the norm), product, marks and the sum into the residual; digits in a
// kernel of their own, and in the product's where they fit. Attention is left
// out. Every kernel waits for the one before.

#include <algorithm>
#include <memory>

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr int kMostFewRows = 16;
constexpr float kEps = 1e-5f;

class Layer {
 public:
  Layer(Bench& bench, const std::vector<LinearShape>& shapes, int most_tokens)
      : bench_(bench),
        shapes_(shapes),
        marks_(DeviceArray<int32_t>(most_tokens).Cleared()),
        scratch_(ProductScratch(2)) {
    DeviceArray<int>::Synchronize();
    double bytes = 0;
    for (const LinearShape& shape : shapes) bytes += Int4Bytes(shape);
    copies_ = bench.NumCopies(bytes);
    size_t width = 0;
    for (const LinearShape& shape : shapes) {
      linears_.push_back(
          std::make_unique<Int4Copies>(shape, copies_, bench.stream()));
      digits_.push_back(
          std::make_unique<Digits>(linears_.back()->view(0), most_tokens, 2));
      outs_.emplace_back(most_tokens * shape.stride() * shape.out_bytes());
      width = std::max<size_t>(width, shape.cols);
    }
    const int hidden = shapes[0].cols;
    residual_.push_back(RandomF32(static_cast<size_t>(most_tokens) * hidden,
                                  1.0f, 5, bench.stream()));
    attention_.push_back(
        RandomF32(static_cast<size_t>(most_tokens) * shapes[1].cols, 1.0f, 6,
                  bench.stream()));
    norm_.push_back(RandomF32(hidden, 1.0f, 7, bench.stream()));
  }

  void Run(int tokens) {
    Time("digits, products", tokens, false);
    bool any = false;
    for (const auto& linear : linears_) any |= Fits(linear->view(0), tokens);
    if (any) Time("fused products", tokens, true);
  }

 private:
  enum { kQkv, kO, kGateUp, kDown };

  static bool Fits(const QuatrainInt4& linear, int tokens) {
    return Cuda().fused_product_fits(tokens, linear.num_pairs,
                                     linear.num_blocks, 2) != 0;
  }

  void Time(const char* kernel, int tokens, bool fused) {
    Row row{"layers", kernel, std::string(shapes_[0].model) + " layer", tokens};
    for (size_t l = 0; l < shapes_.size(); ++l) {
      row.work.bytes += linears_[l]->weight_bytes();
      row.work.operations += 4.0 * tokens * shapes_[l].rows * shapes_[l].cols;
    }
    row.work.unit = Unit::kTensorInt8;
    fused_ = fused;
    row.times = bench_.Measure([&](int i) { Launch(i, tokens); }, copies_);
    bench_.Add(std::move(row));
  }

  void Launch(int copy, int tokens) {
    const int hidden = shapes_[kQkv].cols;
    Product(kQkv, residual_[0].data(), hidden, true, copy, tokens);
    Product(kO, attention_[0].data(), shapes_[kO].cols, false, copy, tokens);
    AddToResidual(kO, tokens);
    Product(kGateUp, residual_[0].data(), hidden, true, copy, tokens);
    Product(kDown, reinterpret_cast<float*>(outs_[kGateUp].data()),
            shapes_[kDown].cols, false, copy, tokens);
    AddToResidual(kDown, tokens);
  }

  void Product(int l, const float* x, int64_t stride, bool norm, int copy,
               int tokens) {
    const QuatrainInt4 linear = linears_[l]->view(copy);
    const float* weight = norm ? norm_[0].data() : nullptr;
    const QuatrainProduct op{
        linear,
        digits_[l]->view(),
        tokens,
        shapes_[l].output,
        nullptr,
        outs_[l].data(),
        shapes_[l].stride(),
        marks_.data(),
        tokens <= kMostFewRows ? kQuatrainFewRows : kQuatrainMediumRows,
        scratch_.data()};
    if (fused_ && Fits(linear, tokens)) {
      const QuatrainFusedProduct all{x, stride, nullptr, weight, kEps, op};
      CudaOk(Cuda().fused_product(&all, bench_.stream()), "fused_product");
      return;
    }
    const QuatrainMakeDigits make{x,
                                  stride,
                                  nullptr,
                                  weight,
                                  kEps,
                                  linear,
                                  tokens,
                                  digits_[l]->view(),
                                  marks_.data()};
    CudaOk(Cuda().digits(&make, bench_.stream()), "digits");
    CudaOk(Cuda().product(&op, bench_.stream()), "product");
  }

  void AddToResidual(int l, int tokens) {
    int64_t* partial = reinterpret_cast<int64_t*>(outs_[l].data());
    const QuatrainStoreMarks store{marks_.data(), partial, shapes_[l].stride(),
                                   tokens};
    CudaOk(Cuda().store_marks(&store, bench_.stream()), "store_marks");
    const QuatrainReduceAdd add{partial, nullptr, shapes_[l].rows, tokens,
                                residual_[0].data()};
    CudaOk(Cuda().reduce_add(&add, bench_.stream()), "reduce_add");
  }

  Bench& bench_;
  std::vector<LinearShape> shapes_;
  int copies_ = 0;
  bool fused_ = false;
  std::vector<std::unique_ptr<Int4Copies>> linears_;
  std::vector<std::unique_ptr<Digits>> digits_;
  std::vector<DeviceArray<unsigned char>> outs_;
  DeviceArray<int32_t> marks_;
  DeviceArray<unsigned char> scratch_;  // of products
  std::vector<DeviceArray<float>> residual_, attention_, norm_;
};

}  // namespace

void BenchLayers(Bench& bench, Cublas*) {
  const std::vector<int> tokens =
      bench.Pick({1, 8, 16, 64, 1024}, {1, 64}, {1, 17});
  PrintHead("Layers, chained");
  for (const auto& model : ModelShapes(bench.options().smoke)) {
    Layer layer(bench, model, tokens.back());
    for (const int t : tokens) layer.Run(t);
  }
}

}  // namespace quatrain::bench
