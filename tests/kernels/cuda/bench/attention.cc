// Attention over a paged cache: one token of many sequences (decode), and a
// chunk of a long prompt (prefill). Decode writes the tokens' K and V, too.

#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"
#include "tests/kernels/cuda/paged_step.h"
#include "tests/kernels/cuda/rank_heads.h"

namespace quatrain::bench {
namespace {

constexpr int kBlockSize = PagedStep::kBlockSize;

struct AttentionShape {
  const char* model;
  int q_heads, kv_heads, head_dim;
  int dtype;  // of the cache
  int sequences;
  int cached;        // tokens of each, the new ones included
  int new_tokens;    // of each
  double wanted;     // share of the floor; 0: none
  int uses_mma = 0;  // attend_mma()

  bool decode() const { return new_tokens == 1; }
  int tokens() const { return sequences * new_tokens; }
  int element_bytes() const {
    return dtype == kQuatrainF32                             ? 4
           : dtype == kQuatrainInt8 || dtype == kQuatrainFp8 ? 1
                                                             : 2;
  }
  double cache_bytes() const {  // read once
    const double values = 2.0 * sequences * cached * kv_heads;
    return values *
           (head_dim * element_bytes() + (dtype == kQuatrainInt8 ? 4 : 0));
  }
  std::string Describe() const {
    return std::string(model) + " " + std::to_string(q_heads) + "/" +
           std::to_string(kv_heads) + " " + std::to_string(sequences) + "x" +
           std::to_string(cached);
  }
};

class Attention {
 public:
  Attention(Bench& bench, const AttentionShape& shape)
      : bench_(bench),
        shape_(shape),
        step_({shape.sequences, shape.cached, shape.new_tokens}),
        copies_(bench.NumCopies(shape.cache_bytes())),
        qkv_(RandomF32(static_cast<size_t>(shape.tokens()) * QkvWidth(), 1.0f,
                       62, bench.stream())),
        rope_(static_cast<size_t>(shape.tokens()) * shape.head_dim),
        out_(static_cast<size_t>(shape.tokens()) * OutWidth()),
        heads_(Groups(shape.kv_heads, shape.q_heads / shape.kv_heads)),
        work_(AttendWorkBytes(Limits())) {
    const size_t size = static_cast<size_t>(step_.num_blocks()) * 2 *
                        shape.kv_heads * kBlockSize;
    for (int i = 0; i < copies_; ++i) {
      caches_.push_back(
          RandomF16(size * shape.head_dim * shape.element_bytes() / 2, 1.0f,
                    63 + i, bench.stream()));
      scales_.push_back(RandomF32(shape.dtype == kQuatrainInt8 ? size : 1,
                                  0.01f, 73 + i, bench.stream()));
    }
    MakeRope();
    const QuatrainAttendWork work{Limits(), step_.view(), work_.data()};
    CudaOk(Cuda().attend_work(&work, bench.stream()), "attend_work");
    bench.Synchronize();
  }

  void Run() {
    Row row{"attention",
            Kernel(),
            shape_.Describe(),
            shape_.tokens(),
            {shape_.cache_bytes() +
                 4.0 * shape_.tokens() * (QkvWidth() + OutWidth()),
             Operations(), shape_.uses_mma ? Unit::kTensorF16 : Unit::kF32}};
    row.exact = shape_.uses_mma == 0;
    row.task = Task();
    if (!shape_.decode()) Store(0);
    row.times = bench_.Measure([&](int i) { Attend(i); }, copies_);
    row.wanted_floor = shape_.wanted;
    bench_.Add(std::move(row));
  }

 private:
  int QkvWidth() const {
    return (shape_.q_heads + 2 * shape_.kv_heads) * shape_.head_dim;
  }
  int OutWidth() const { return shape_.q_heads * shape_.head_dim; }
  int NumFreqs() const { return shape_.head_dim / 2; }

  std::string Kernel() const {
    return Task() + (shape_.uses_mma ? " mma" : "");
  }

  std::string Task() const {
    const char* cache = shape_.dtype == kQuatrainInt8  ? " int8"
                        : shape_.dtype == kQuatrainFp8 ? " fp8"
                                                       : " f16";
    return (shape_.decode() ? "decode" : "prefill") + std::string(cache);
  }

  // A multiply-add for q * k and one for p * v.
  double Operations() const {
    const double before = shape_.cached - shape_.new_tokens;
    const double keys = shape_.new_tokens * before +
                        shape_.new_tokens * (shape_.new_tokens + 1.0) / 2;
    return 4.0 * shape_.q_heads * shape_.head_dim * keys * shape_.sequences;
  }

  QuatrainAttendShape Limits() const {
    return {shape_.q_heads,
            shape_.kv_heads,
            shape_.head_dim,
            shape_.dtype,
            shape_.kv_heads,
            shape_.q_heads / shape_.kv_heads,
            0,
            shape_.tokens(),
            shape_.sequences,
            bench_.device().compute_capability,
            bench_.device().num_sms,
            shape_.uses_mma};
  }

  void MakeRope() {
    std::vector<float> inverse;
    for (int i = 0; i < NumFreqs(); ++i)
      inverse.push_back(1.0f / static_cast<float>(1 + i * i));
    const DeviceArray<float> frequencies(inverse);
    const QuatrainRopeTable op{
        frequencies.data(),      NumFreqs(),  1.0f, step_.view().positions,
        step_.view().num_tokens, rope_.data()};
    CudaOk(Cuda().rope_table(&op, bench_.stream()), "rope_table");
    bench_.Synchronize();
  }

  QuatrainKvCache Cache(int i) const {
    const bool scaled = shape_.dtype == kQuatrainInt8;
    return {caches_[i % copies_].data(),
            scaled ? scales_[i % copies_].data() : nullptr,
            shape_.dtype,
            step_.num_blocks(),
            kBlockSize,
            shape_.kv_heads,
            shape_.head_dim};
  }

  void Store(int copy) {
    const QuatrainStoreKv op{qkv_.data(),
                             QkvWidth(),
                             nullptr,
                             shape_.q_heads,
                             rope_.data(),
                             NumFreqs(),
                             step_.view().slot_mapping,
                             shape_.tokens(),
                             Cache(copy)};
    CudaOk(Cuda().store_kv(&op, bench_.stream()), "store_kv");
  }

  void Attend(int copy) {
    QuatrainAttend op = {};
    op.shape = Limits();
    op.step = step_.view();
    op.work = work_.data();
    op.lists = shape_.decode() ? kQuatrainSingles : kQuatrainChunks;
    op.stores = shape_.decode() ? 1 : 0;
    op.qkv = qkv_.data();
    op.qkv_stride = QkvWidth();
    op.rope = rope_.data();
    op.num_freqs = NumFreqs();
    op.heads = heads_.data();
    op.scale = 0.088f;
    op.kv = Cache(copy);
    op.out = out_.data();
    op.out_stride = OutWidth();
    const auto attend = shape_.uses_mma ? Cuda().attend_mma : Cuda().attend;
    CudaOk(attend(&op, bench_.stream()), "attend");
  }

  Bench& bench_;
  AttentionShape shape_;
  PagedStep step_;
  int copies_;
  DeviceArray<float> qkv_, rope_, out_;
  DeviceArray<QuatrainHeadUse> heads_;
  DeviceArray<unsigned char> work_;
  std::vector<DeviceArray<uint16_t>> caches_;
  std::vector<DeviceArray<float>> scales_;
};

std::vector<AttentionShape> ExactShapes(bool smoke) {
  if (smoke)
    return {{"tiny", 4, 2, 16, kQuatrainF16, 3, 40, 1, 0},
            {"tiny", 4, 2, 16, kQuatrainInt8, 3, 40, 1, 0},
            {"tiny", 4, 2, 16, kQuatrainF16, 1, 40, 20, 0}};
  return {{"7B", 32, 32, 128, kQuatrainF16, 32, 4096, 1, 0.80},
          {"7B", 32, 32, 128, kQuatrainInt8, 32, 4096, 1, 0},
          {"7B", 32, 32, 128, kQuatrainF16, 1, 4096, 1, 0},
          {"7B", 32, 32, 128, kQuatrainF16, 8, 1024, 1, 0},
          {"8B", 32, 8, 128, kQuatrainF16, 32, 4096, 1, 0.80},
          {"8B", 32, 8, 128, kQuatrainInt8, 32, 4096, 1, 0},
          {"8B", 32, 8, 128, kQuatrainF16, 1, 4096, 1, 0},
          {"70B", 64, 8, 128, kQuatrainF16, 32, 4096, 1, 0.80},
          {"70B", 64, 8, 128, kQuatrainF16, 1, 4096, 1, 0},
          {"7B", 32, 32, 128, kQuatrainF16, 1, 2048, 2048, 0},
          {"7B", 32, 32, 128, kQuatrainF16, 1, 4096, 2048, 0},
          {"70B", 64, 8, 128, kQuatrainF16, 1, 2048, 2048, 0}};
}

std::vector<AttentionShape> MmaShapes(bool smoke) {
  std::vector<AttentionShape> shapes;
  for (const int dtype : {kQuatrainF16, kQuatrainInt8, kQuatrainFp8}) {
    if (smoke) {
      shapes.push_back({"tiny", 4, 2, 64, dtype, 3, 40, 1, 0, 1});
      shapes.push_back({"tiny", 4, 2, 64, dtype, 1, 40, 20, 0, 1});
      continue;
    }
    const double wanted = dtype == kQuatrainF16 ? 0.80 : 0.0;
    shapes.push_back({"7B", 32, 32, 128, dtype, 32, 4096, 1, wanted, 1});
    shapes.push_back({"8B", 32, 8, 128, dtype, 32, 4096, 1, wanted, 1});
    shapes.push_back({"8B", 32, 8, 128, dtype, 1, 4096, 1, 0, 1});
    shapes.push_back({"70B", 64, 8, 128, dtype, 1, 2048, 2048, 0, 1});
  }
  return shapes;
}

}  // namespace

void BenchAttention(Bench& bench, Cublas*) {
  PrintHead("Attention: query heads/KV heads, sequences x tokens cached");
  for (const auto& shapes :
       {ExactShapes(bench.options().smoke), MmaShapes(bench.options().smoke)})
    for (const AttentionShape& shape : shapes) {
      Attention attention(bench, shape);
      attention.Run();
    }
}

}  // namespace quatrain::bench
