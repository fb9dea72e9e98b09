#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cuda/attention_plan.h"
#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/simt/runner.h"

// Attention of the default mode against one in f64 over the same stored K and
// V, element by element, within bounds that follow from its roundings.
namespace quatrain {
namespace {

struct MmaCase {
  AttendCase base;
  // How large q and K are: small ones give even weights, where every key counts
  // and bounds are narrow.
  float q_size = 0.25f;
  float k_size = 1.0f;
  bool twice = false;  // attends again, as the next layer
};

const char* Launch(const QuatrainAttend& op) {
  return Cuda().attend_mma(&op, nullptr) == kQuatrainOk ? nullptr
                                                        : Cuda().message();
}

// --- A step ------------------------------------------------------------------

class MmaStep {
 public:
  explicit MmaStep(const MmaCase& c);

  void Run();
  // That every output is within its bound.
  void Check(const std::string& what);
  const std::vector<float>& outputs() const { return out_; }
  double widest() const { return widest_; }  // bound, of sizes of V

 private:
  struct Head {  // one KV head of one key
    std::vector<float> k, v;
  };

  void Fill(int s, int position, std::vector<unsigned char>* bytes, int token);
  std::vector<float> Rotated(int token, int head) const;
  void CheckHead(const std::string& what, int s, int token, int q_head,
                 const QuatrainHeadUse& use);
  QuatrainAttendShape Shape() const;

  MmaCase case_;
  const AttendCase& base_;
  std::mt19937 random_{11};
  int kv_heads_, q_heads_ = 0, width_, pairs_, stride_ = 0, num_blocks_ = 0;
  std::vector<int32_t> positions_, ends_{0}, tables_, marks_;
  std::vector<int64_t> slots_;
  int real_tokens_ = 0;
  std::vector<float> qkv_, inv_freq_, out_;
  std::vector<unsigned char> bytes_;
  std::vector<std::vector<std::vector<Head>>> cached_;  // [s][position][head]
  float scale_;
  double widest_ = 0;
};

MmaStep::MmaStep(const MmaCase& c)
    : case_(c),
      base_(case_.base),
      kv_heads_(static_cast<int>(c.base.heads.size())),
      pairs_(c.base.pairs < 0 ? c.base.dim / 2 : c.base.pairs),
      scale_(1.0f / std::sqrt(static_cast<float>(c.base.dim))) {
  for (const QuatrainHeadUse& use : base_.heads)
    q_heads_ = std::max(q_heads_, use.first_q_head + use.count);
  width_ = (q_heads_ + 2 * kv_heads_) * base_.dim;
  for (int i = 0; i < pairs_; ++i)
    inv_freq_.push_back(std::pow(10000.0f, -static_cast<float>(i) / pairs_));
  const int size = base_.block_size;
  for (const CaseSequence& s : base_.sequences) {
    const int blocks = (s.start + s.n + size - 1) / size;
    num_blocks_ += blocks;
    stride_ = std::max(stride_, blocks);
  }
  std::vector<int32_t> shuffled(num_blocks_);
  for (int b = 0; b < num_blocks_; ++b) shuffled[b] = b;
  std::shuffle(shuffled.begin(), shuffled.end(), random_);
  for (const CaseSequence& s : base_.sequences) {
    std::vector<int32_t> table(stride_, -1);
    for (int b = 0; b < (s.start + s.n + size - 1) / size; ++b) {
      table[b] = shuffled.back();
      shuffled.pop_back();
    }
    tables_.insert(tables_.end(), table.begin(), table.end());
    for (int t = s.start; t < s.start + s.n; ++t) {
      positions_.push_back(t);
      slots_.push_back(int64_t{table[t / size]} * size + t % size);
    }
    ends_.push_back(static_cast<int>(positions_.size()));
  }
  real_tokens_ = ends_.back();
  for (int i = 0; i < base_.padding; ++i) {
    positions_.push_back(0);
    slots_.push_back(-1);
    ends_.push_back(real_tokens_);
    tables_.insert(tables_.end(), stride_, -1);
  }
  marks_.assign(positions_.size(), 0);
  for (const int t : base_.marked) marks_[t] = 1;
  std::normal_distribution<float> normal;
  qkv_.resize(positions_.size() * width_);
  for (size_t i = 0; i < qkv_.size(); ++i) {
    const int head = static_cast<int>(i % width_) / base_.dim;
    qkv_[i] = normal(random_) * (head < q_heads_               ? case_.q_size
                                 : head < q_heads_ + kv_heads_ ? case_.k_size
                                                               : 1.0f);
  }
  if (base_.is_hard)
    for (const float v :
         {std::numeric_limits<float>::infinity(), 1e30f, 70000.0f, -1e30f,
          std::numeric_limits<float>::quiet_NaN()})
      qkv_[random_() % (size_t(real_tokens_) * width_)] = v;
  bytes_.assign(size_t(num_blocks_) * 2 * kv_heads_ * size * base_.dim * 2,
                0xff);
  cached_.resize(base_.sequences.size());
  int token = 0;
  for (size_t s = 0; s < base_.sequences.size(); ++s) {
    const CaseSequence& sequence = base_.sequences[s];
    for (int t = 0; t < sequence.start; ++t)
      Fill(static_cast<int>(s), t, &bytes_, -1);
    for (int t = 0; t < sequence.n; ++t)
      Fill(static_cast<int>(s), sequence.start + t, nullptr, token++);
  }
}

// A key and its value: of an earlier step (token -1), or of this.
void MmaStep::Fill(int s, int position, std::vector<unsigned char>* bytes,
                   int token) {
  const int dim = base_.dim, size = base_.block_size;
  std::normal_distribution<float> normal;
  cached_[s].emplace_back();
  for (int h = 0; h < kv_heads_; ++h) {
    Head head;
    for (const int is_value : {0, 1}) {
      std::vector<float> values(dim);
      if (token >= 0) {
        values = Rotated(token, q_heads_ + is_value * kv_heads_ + h);
      } else {
        for (float& v : values)
          v = normal(random_) * (is_value ? 1.0f : case_.k_size);
        // Infinite in f16; at least in the first V of every other tile.
        if (base_.is_hard &&
            (random_() % 64 == 0 || (is_value && position % 64 == 0)))
          values[3] = 1e5f;
      }
      const StoredHead stored = Stored(base_.dtype, values.data(), dim);
      (is_value ? head.v : head.k) = stored.read;
      if (bytes == nullptr) continue;
      const int64_t block = tables_[s * stride_ + position / size];
      const size_t row =
          ((block * 2 + is_value) * kv_heads_ + h) * size + position % size;
      std::copy(stored.bytes.begin(), stored.bytes.end(),
                bytes->begin() + row * stored.bytes.size());
    }
    cached_[s].back().push_back(head);
  }
}

// A head of a token as the device has it in f32; V is not rotated.
std::vector<float> MmaStep::Rotated(int token, int head) const {
  const float* from = qkv_.data() + size_t(token) * width_ + head * base_.dim;
  std::vector<float> x(from, from + base_.dim);
  if (marks_[token])
    std::fill(x.begin(), x.end(), std::numeric_limits<float>::quiet_NaN());
  const int pairs = head < q_heads_ + kv_heads_ ? pairs_ : 0;
  for (int i = 0; i < pairs && !marks_[token]; ++i) {
    const SinCosResult angle =
        SinCos(static_cast<float>(positions_[token]) * inv_freq_[i]);
    const float cos = angle.cos * base_.rope_scaling;
    const float sin = angle.sin * base_.rope_scaling;
    x[i] = std::fma(from[i], cos, -(from[i + pairs] * sin));
    x[i + pairs] = std::fma(from[i + pairs], cos, from[i] * sin);
  }
  return x;
}

QuatrainAttendShape MmaStep::Shape() const {
  int most = 0;
  for (const QuatrainHeadUse& use : base_.heads)
    most = std::max(most, use.count);
  return {.num_q_heads = q_heads_,
          .num_kv_heads = kv_heads_,
          .head_dim = base_.dim,
          .kv_dtype = base_.dtype,
          .num_uses = kv_heads_,
          .max_count = most,
          .window = base_.window,
          .max_tokens = static_cast<int>(positions_.size()),
          .max_sequences = static_cast<int>(ends_.size()) - 1,
          .compute_capability = base_.compute_capability,
          .num_sms = base_.num_sms};
}

void MmaStep::Run() {
  // Blocks below every window are gone: whoever reads them leaves the cache.
  std::vector<int32_t> tables = tables_;
  for (size_t s = 0; s < base_.sequences.size(); ++s)
    for (int b = 0;
         base_.window > 0 && (b + 1) * base_.block_size <=
                                 base_.sequences[s].start + 1 - base_.window;
         ++b)
      tables[s * stride_ + b] = 1 << 26;
  const DeviceArray<float> qkv(qkv_), inv_freq(inv_freq_);
  const DeviceArray<int32_t> positions(positions_), ends(ends_), table(tables),
      marks(marks_);
  const DeviceArray<int64_t> slots(slots_);
  const DeviceArray<QuatrainHeadUse> heads(base_.heads);
  const DeviceArray<unsigned char> data(bytes_);
  const int tokens = static_cast<int>(positions_.size());
  const DeviceArray<float> rope(size_t(tokens) * pairs_ * 2);
  const size_t out_width = size_t(q_heads_) * base_.dim;
  const DeviceArray<float> out(size_t(tokens) * out_width);
  const QuatrainAttendShape shape = Shape();
  size_t work_bytes = 0;
  CudaOk(Cuda().attend_bytes(&shape, &work_bytes), "attend_bytes");
  const DeviceArray<unsigned char> work(work_bytes);
  const QuatrainStep step{.num_tokens = tokens,
                          .num_sequences = static_cast<int>(ends_.size()) - 1,
                          .block_stride = stride_,
                          .positions = positions.data(),
                          .slot_mapping = slots.data(),
                          .cu_seqlens = ends.data(),
                          .block_tables = table.data()};
  const QuatrainKvCache kv{.data = data.data(),
                           .scales = nullptr,
                           .dtype = base_.dtype,
                           .num_blocks = num_blocks_,
                           .block_size = base_.block_size,
                           .num_kv_heads = kv_heads_,
                           .head_dim = base_.dim};
  const QuatrainRopeTable angles{.inv_freq = inv_freq.data(),
                                 .num_freqs = pairs_,
                                 .scaling = base_.rope_scaling,
                                 .positions = positions.data(),
                                 .num_tokens = tokens,
                                 .out = rope.data()};
  CudaOk(Cuda().rope_table(&angles, nullptr), "rope_table");
  const QuatrainAttendWork divide{shape, step, work.data()};
  CudaOk(Cuda().attend_work(&divide, nullptr), "attend_work");
  const int32_t* marked = base_.marked.empty() ? nullptr : marks.data();
  const QuatrainStoreKv store{.qkv = qkv.data(),
                              .qkv_stride = width_,
                              .marks = marked,
                              .num_q_heads = q_heads_,
                              .rope = rope.data(),
                              .num_freqs = pairs_,
                              .slot_mapping = slots.data(),
                              .num_tokens = tokens,
                              .kv = kv};
  if (!base_.stores) CudaOk(Cuda().store_kv(&store, nullptr), "store_kv");
  const QuatrainAttend attend{.shape = shape,
                              .step = step,
                              .work = work.data(),
                              .lists = base_.stores
                                           ? kQuatrainSingles
                                           : kQuatrainSingles | kQuatrainChunks,
                              .stores = base_.stores,
                              .qkv = qkv.data(),
                              .qkv_stride = width_,
                              .marks = marked,
                              .rope = rope.data(),
                              .num_freqs = pairs_,
                              .heads = heads.data(),
                              .scale = scale_,
                              .kv = kv,
                              .out = out.data(),
                              .out_stride = static_cast<int64_t>(out_width)};
  for (int i = 0; i < (case_.twice ? 2 : 1); ++i) {
    const char* wrong = Launch(attend);
    EXPECT_TEXT(wrong == nullptr, wrong == nullptr ? "" : wrong);
  }
  DeviceArray<float>::Synchronize();
  out_ = out.Download();
  out_.resize(size_t(real_tokens_) * out_width);
  // What attend() stored is what store_kv() would have.
  const std::vector<unsigned char> after = data.Download();
  for (size_t s = 0; s < cached_.size(); ++s)
    for (size_t p = 0; p < cached_[s].size(); ++p)
      for (int h = 0; h < kv_heads_; ++h)
        for (const int is_value : {0, 1}) {
          const int64_t block = tables_[s * stride_ + p / base_.block_size];
          const size_t row =
              ((block * 2 + is_value) * kv_heads_ + h) * base_.block_size +
              p % base_.block_size;
          const Head& head = cached_[s][p][h];
          for (int d = 0; d < base_.dim; ++d) {
            uint16_t half;
            std::memcpy(&half, after.data() + (row * base_.dim + d) * 2, 2);
            const float got =
                base_.dtype == kQuatrainF16 ? F16ToF32(half) : BF16ToF32(half);
            const float want = (is_value ? head.v : head.k)[d];
            if (got == want || (got != got && want != want)) continue;
            EXPECT_TEXT(false, "the cache has " + runner::Show(got) +
                                   ", expected " + runner::Show(want));
            return;
          }
        }
}

// --- The bound ---------------------------------------------------------------
//
// With u the unit roundoff of the cache's type and x[j] the score of key j in
// powers of two, sum_d q'[d] k[j, d], q' = scale * log2(e) * q:
//
//  - q' is rounded three times in f32 (2^-24) and once to the type: by at most
//    u |q'| and, in f16, half a subnormal step, 2^-25 * 2^e, where 2^e is at
//    most 2^-14 of the row's largest;
//  - a score is a sum of head_dim products in f32; tensor cores truncate, so
//    each addition errs by at most 2^-23 of the sum of absolute terms;
//  - together x[j] errs by E[j]. m, subtracted, is the same for all keys of a
//    state and cancels; the subtraction errs by 2^-24 of |x| + |m|;
//  - exp2 errs by 2^-22. Rescaling, once per tile, and merging, once per tile
//    warp, piece and split, do so too, and take differences of m, which in
//    merging were rounded twice;
//  - weights on their way to V are rounded by u and, in f16, by 2^-25;
//  - sums over keys err by 2^-23 of the absolute terms per addition, and the
//    division, or the product with 1 / L, by 2^-23.
//
// A weight is thus p (1 + r), and out = N / L errs by
// (|dN| + |N / L| |dL|) / (L - |dL|).
void MmaStep::CheckHead(const std::string& what, int s, int token, int q_head,
                        const QuatrainHeadUse& use) {
  const bool is_f16 = base_.dtype == kQuatrainF16;
  const double u = is_f16 ? 0x1p-11 : 0x1p-8;
  const int dim = base_.dim;
  const int end = positions_[token] + 1;
  const int begin = base_.window > 0 ? std::max(0, end - base_.window) : 0;
  const int n = end - begin;
  const std::vector<float> q = Rotated(token, q_head);
  const double scale = double(scale_) * 1.4426950408889634;
  double largest_q = 0;
  for (const float x : q) largest_q = std::max(largest_q, std::fabs(x * scale));
  std::vector<double> x(n), e(n);
  double m = -std::numeric_limits<double>::infinity(), largest_x = 0,
         most_e = 0;
  bool is_finite = true;
  for (int j = 0; j < n; ++j) {
    const Head& key = cached_[s][begin + j][use.kv_head];
    double sum = 0, size = 0, rounding = 0;
    for (int d = 0; d < dim; ++d) {
      const double qd = q[d] * scale, kd = key.k[d];
      sum += qd * kd;
      size += std::fabs(qd * kd);
      rounding += (std::fabs(qd) * (u + 0x1p-22) +
                   (is_f16 ? largest_q * 0x1p-39 : 0x1p-130)) *
                  std::fabs(kd);
      is_finite = is_finite && std::isfinite(key.v[d]);
    }
    is_finite = is_finite && std::isfinite(sum);
    x[j] = sum;
    e[j] = rounding + (dim + dim / 16) * 0x1p-23 * 1.01 * size;
    most_e = std::max(most_e, e[j]);
    largest_x = std::max(largest_x, std::fabs(sum));
    if (sum > m) m = sum;
  }
  largest_x += most_e;
  const double tiles = n / 32 + 2, states = 4 + n / 512 + 2;
  const double common =
      (tiles + 3 * states) * 0x1p-21 + (2 + 4 * states) * largest_x * 0x1p-23;
  double l = 0, dl = 0;
  std::vector<double> sums(dim), sizes(dim), errors(dim);
  for (int j = 0; j < n; ++j) {
    const double p = std::exp2(x[j] - m);
    const double r = std::exp2(e[j]) * (1 + 0x1p-22) * std::exp(common) - 1;
    l += p;
    dl += p * r;
    const Head& key = cached_[s][begin + j][use.kv_head];
    for (int d = 0; d < dim; ++d) {
      const double v = key.v[d];
      sums[d] += p * v;
      sizes[d] += p * std::fabs(v);
      errors[d] += std::fabs(v) * (p * (r + u * (1 + r)) +
                                   (is_f16 ? 0x1p-25 * std::exp2(most_e) : 0));
    }
  }
  const double additions = (n + n / 16 + 2 * tiles + states) * 0x1p-23;
  dl += l * additions;
  for (int d = 0; d < dim; ++d) {
    const float got = out_[(size_t(token) * q_heads_ + q_head) * dim + d];
    const double want = sums[d] / l;
    const double error = errors[d] + sizes[d] * additions;
    const double bound =
        (error + std::fabs(want) * dl) / (l - dl) + std::fabs(want) * 0x1p-22;
    bool ok = true;
    if (std::isnan(want)) {
      ok = std::bit_cast<uint32_t>(got) == 0x7fc00000u;
    } else if (std::isinf(want)) {
      ok = !std::isfinite(got);
    } else if (is_finite) {
      // A bound that says nothing still wants a number.
      const bool says = dl < l && std::isfinite(bound);
      ok = std::isfinite(got) && (!says || std::fabs(got - want) <= bound);
      if (says && !base_.is_hard) widest_ = std::max(widest_, bound);
    }  // else: where an infinite K is met by a q that rounds to 0, it is NaN.
    if (ok) continue;
    EXPECT_TEXT(false, what + ": token " + std::to_string(token) + " head " +
                           std::to_string(q_head) + " dim " +
                           std::to_string(d) + " is " + runner::Show(got) +
                           ", expected " + runner::Show(want) + " +- " +
                           runner::Show(bound));
    return;
  }
}

void MmaStep::Check(const std::string& what) {
  for (size_t s = 0; s < base_.sequences.size(); ++s)
    for (int t = ends_[s]; t < ends_[s + 1]; ++t)
      for (const QuatrainHeadUse& use : base_.heads)
        for (int h = 0; h < use.count; ++h)
          CheckHead(what, static_cast<int>(s), t, use.first_q_head + h, use);
}

void ExpectWithinBounds(const MmaCase& c, const std::string& what) {
  MmaStep step(c);
  step.Run();
  step.Check(what);
}

constexpr QuatrainDType kTypes[] = {kQuatrainF16, kQuatrainBF16};

std::string Of(const char* what, int value) {
  return std::string(what) + " " + std::to_string(value);
}

// --- Tests -------------------------------------------------------------------

SIMT_TEST(MmaDimsOfAHead) {
  for (const QuatrainDType dtype : kTypes)
    for (const int dim : {64, 80, 96, 128, 256})
      for (const int count : {1, 4})
        ExpectWithinBounds(
            {.base = {.heads = Groups(1, count),
                      .dim = dim,
                      .dtype = dtype,
                      .sequences = {{32, 1}, {70, 1}, {20, 15}}}},
            Of("type", dtype) + Of(" dim", dim) + Of(" count", count));
}

// Weights as uneven as those of a model.
SIMT_TEST(MmaSharpWeights) {
  for (const QuatrainDType dtype : kTypes)
    ExpectWithinBounds({.base = {.heads = Groups(2, 4),
                                 .dim = 64,
                                 .dtype = dtype,
                                 .sequences = {{300, 1}, {20, 40}}},
                        .q_size = 1.5f,
                        .k_size = 1.5f},
                       Of("type", dtype));
}

SIMT_TEST(MmaQueryHeadsPerKvHead) {
  for (const int count : {1, 2, 7, 8, 12, 16, 17, 40})
    ExpectWithinBounds({.base = {.heads = Groups(count < 8 ? 2 : 1, count),
                                 .dim = 64,
                                 .sequences = {{40, 1}, {3, 1}, {30, 9}}}},
                       Of("count", count));
}

SIMT_TEST(MmaHeadsThatAreSharedUnevenly) {
  for (const bool stores : {false, true})
    ExpectWithinBounds(
        {.base = {.heads = {{0, 0, 2}, {1, 2, 4}, {2, 6, 1}},
                  .dim = 64,
                  .sequences = {{40, 1}, {0, 1}, {33, stores ? 1 : 20}},
                  .stores = stores}},
        Of("stores", stores));
}

SIMT_TEST(MmaContextsAroundTilesAndSegments) {
  for (const int context : {1, 2, 31, 32, 33, 127, 129, 512, 513, 1100})
    ExpectWithinBounds({.base = {.heads = Groups(1, 2),
                                 .dim = 64,
                                 .sequences = {{context - 1, 1}},
                                 .stores = context % 2 == 1}},
                       Of("context", context));
}

SIMT_TEST(MmaChunksAroundTilesAndSegments) {
  struct Chunk {
    int start, n;
  };
  for (const Chunk c : {Chunk{0, 2}, Chunk{0, 33}, Chunk{31, 2}, Chunk{0, 65},
                        Chunk{500, 25}, Chunk{1010, 16}})
    ExpectWithinBounds({.base = {.heads = Groups(1, 2),
                                 .dim = 64,
                                 .sequences = {{c.start, c.n}}}},
                       Of("start", c.start) + Of(" n", c.n));
}

SIMT_TEST(MmaWindows) {
  for (const int window : {1, 2, 31, 32, 33, 600})
    ExpectWithinBounds(
        {.base =
             {.heads = Groups(1, 4),
              .dim = 64,
              .window = window,
              .sequences = {{0, 1}, {32, 1}, {700, 1}, {0, 40}, {590, 37}}}},
        Of("window", window));
}

SIMT_TEST(MmaABatchOfAllKinds) {
  ExpectWithinBounds(
      {.base =
           {.heads = Groups(2, 4),
            .dim = 64,
            .sequences = {{200, 1}, {0, 3}, {530, 1}, {64, 33}, {0, 1}, {7, 2}},
            .padding = 3},
       .twice = true},
      "mixed");
}

SIMT_TEST(MmaBlockSizes) {
  for (const int block_size : {1, 5, 16, 64})
    for (const QuatrainDType dtype : kTypes)
      ExpectWithinBounds({.base = {.heads = Groups(2, 2),
                                   .dim = 80,
                                   .dtype = dtype,
                                   .block_size = block_size,
                                   .sequences = {{74, 1}, {0, 1}, {5, 30}}}},
                         Of("block_size", block_size));
}

SIMT_TEST(MmaDecodeStoresItsOwnTokens) {
  for (const QuatrainDType dtype : kTypes)
    for (const int count : {1, 12, 40})
      ExpectWithinBounds(
          {.base = {.heads = Groups(2, count),
                    .dim = 64,
                    .dtype = dtype,
                    .sequences = {{0, 1}, {31, 1}, {32, 1}, {530, 1}},
                    .padding = 2,
                    .marked = {2},
                    .stores = true}},
          Of("type", dtype) + Of(" count", count));
}

SIMT_TEST(MmaRotaryEmbeddings) {
  for (const int pairs : {0, 1, 6, 32})
    ExpectWithinBounds({.base = {.heads = Groups(2, 2),
                                 .dim = 64,
                                 .pairs = pairs,
                                 .rope_scaling = 1.1f,
                                 .sequences = {{74, 1}, {5, 30}}}},
                       Of("pairs", pairs));
}

SIMT_TEST(MmaMarkedAndPaddingRows) {
  ExpectWithinBounds({.base = {.heads = Groups(2, 2),
                               .dim = 64,
                               .sequences = {{40, 1}, {33, 1}, {5, 40}},
                               .padding = 3,
                               .marked = {1, 20}}},
                     "marks and padding");
}

// q far outside of f16, and far below it.
SIMT_TEST(MmaQueriesOfAnySize) {
  struct Sizes {
    float q, k;
  };
  for (const QuatrainDType dtype : kTypes)
    for (const Sizes s :
         {Sizes{1e6f, 1e-6f}, Sizes{1e-12f, 1.0f}, Sizes{1e-30f, 1.0f},
          Sizes{1e30f, 1e-30f}, Sizes{1e-42f, 1.0f}})
      ExpectWithinBounds({.base = {.heads = Groups(1, 4),
                                   .dim = 64,
                                   .dtype = dtype,
                                   .sequences = {{40, 1}, {5, 20}}},
                          .q_size = s.q,
                          .k_size = s.k},
                         "q " + runner::Show(s.q));
}

SIMT_TEST(MmaValuesThatAreNotFinite) {
  for (const QuatrainDType dtype : kTypes)
    for (const bool stores : {false, true})
      ExpectWithinBounds(
          {.base =
               {.heads = Groups(2, 4),
                .dim = 64,
                .dtype = dtype,
                .sequences = {{70, 1}, {530, 1}, {20, stores ? 1 : 35}, {3, 1}},
                .is_hard = true,
                .stores = stores}},
          Of("type", dtype));
}

// What a row does not see must not be multiplied by zero.
SIMT_TEST(MmaNotFiniteAndOutsideOfTheWindow) {
  for (const int window : {1, 17, 32})
    for (const int count : {1, 4})
      ExpectWithinBounds({.base = {.heads = Groups(2, count),
                                   .dim = 64,
                                   .window = window,
                                   .sequences = {{32, 1}, {30, 70}, {91, 9}},
                                   .is_hard = true}},
                         Of("window", window) + Of(" count", count));
}

SIMT_TEST(MmaDevicesOfEverySize) {
  for (const int compute_capability : {80, 86, 90})
    for (const int num_sms : {1, 20})
      for (const int dim : {64, 256})
        ExpectWithinBounds(
            {.base = {.heads = Groups(1, 4),
                      .dim = dim,
                      .sequences = {{1030, 1}, {600, 1}, {520, 9}},
                      .compute_capability = compute_capability,
                      .num_sms = num_sms},
             .twice = true},
            Of("capability", compute_capability) + Of(" sms", num_sms) +
                Of(" dim", dim));
}

// Where one warp has all of a row's keys and needs no merge, and where it has
// those of a split.
SIMT_TEST(MmaOneTileWarp) {
  for (const QuatrainDType dtype : kTypes)
    for (const int num_sms : {1, 40})
      ExpectWithinBounds({.base = {.heads = Groups(1, 8),
                                   .dim = 256,
                                   .dtype = dtype,
                                   .sequences = {{530, 1}, {20, 1}, {600, 9}},
                                   .marked = {1, 4},
                                   .is_hard = num_sms == 1,
                                   .compute_capability = 86,
                                   .num_sms = num_sms}},
                         Of("type", dtype) + Of(" sms", num_sms));
}

SIMT_TEST(MmaTwoRunsGiveTheSameBits) {
  for (const QuatrainDType dtype : kTypes) {
    const MmaCase c{.base = {.heads = Groups(2, 4),
                             .dim = 64,
                             .dtype = dtype,
                             .sequences = {{1030, 1}, {200, 1}, {520, 9}},
                             .num_sms = 20},
                    .q_size = 1.5f};
    MmaStep one(c), other(c);
    one.Run();
    other.Run();
    EXPECT(std::memcmp(one.outputs().data(), other.outputs().data(),
                       one.outputs().size() * sizeof(float)) == 0);
  }
}

// The bound itself: narrow enough that a lost key of a hundred is seen.
SIMT_TEST(MmaBoundsAreNarrow) {
  MmaStep step(
      {.base = {.heads = Groups(1, 4), .dim = 64, .sequences = {{99, 1}}},
       .q_size = 0.02f});
  step.Run();
  step.Check("narrow");
  EXPECT(step.widest() < 0.004);  // V is of size 1, a key's weight 0.01
}

SIMT_TEST(MmaSharedMemoryFits) {
  for (const int capability : {80, 86, 89, 90})
    for (const int dim : {64, 80, 96, 128, 256})
      for (const int count : {1, 4, 8, 71})
        for (const int sequences : {1, 500})
          for (const int list : {0, 1}) {
            const QuatrainAttendShape shape{.num_q_heads = count,
                                            .num_kv_heads = 1,
                                            .head_dim = dim,
                                            .kv_dtype = kQuatrainF16,
                                            .num_uses = 1,
                                            .max_count = count,
                                            .window = 0,
                                            .max_tokens = 512,
                                            .max_sequences = 512,
                                            .compute_capability = capability,
                                            .num_sms = 100};
            const cuda::AttendLaunch launch =
                cuda::PlanAttendMma(shape, list, sequences);
            const uint32_t limit = capability == 80   ? 163 * 1024
                                   : capability == 90 ? 227 * 1024
                                                      : 99 * 1024;
            EXPECT(launch.shared.bytes <= limit);
            EXPECT(launch.tile_warps >= 1 && launch.num_threads() <= 128);
            EXPECT(launch.rows.total <= 16 * launch.rows.row_warps);
            EXPECT(launch.rows.heads * launch.rows.head_parts >= count);
          }
}

SIMT_TEST(MmaBadOperandsAreRefused) {
  QuatrainAttend op{};
  op.shape = {.num_q_heads = 1,
              .num_kv_heads = 1,
              .head_dim = 64,
              .kv_dtype = kQuatrainInt8,
              .num_uses = 1,
              .max_count = 1,
              .window = 0,
              .max_tokens = 1,
              .max_sequences = 1,
              .compute_capability = 90,
              .num_sms = 1};
  op.kv = {.data = nullptr,
           .scales = nullptr,
           .dtype = kQuatrainInt8,
           .num_blocks = 1,
           .block_size = 16,
           .num_kv_heads = 1,
           .head_dim = 64};
  op.step.num_tokens = 1;
  op.lists = kQuatrainSingles;
  for (const QuatrainDType dtype :
       {kQuatrainInt8, kQuatrainFp8, kQuatrainF32}) {
    op.shape.kv_dtype = op.kv.dtype = dtype;
    EXPECT(Launch(op) != nullptr);
  }
  op.shape.kv_dtype = op.kv.dtype = kQuatrainF16;
  op.stores = 1;
  op.lists = kQuatrainSingles | kQuatrainChunks;
  EXPECT(Launch(op) != nullptr);
  op.stores = 0;
  op.lists = kQuatrainSingles;
  op.shape.head_dim = op.kv.head_dim = 48;
  EXPECT(Launch(op) != nullptr);
}

}  // namespace
}  // namespace quatrain
