#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/math.h"
#include "kernels/reference_math.h"
#include "tests/kernels/cuda/device.h"
#include "tests/kernels/simt/runner.h"

// One step of attention on the device and by the reference.
namespace quatrain {

// A sequence of a step: tokens [start, start + n) are new.
struct CaseSequence {
  int start = 0;
  int n = 1;
};

struct AttendCase {
  std::vector<QuatrainHeadUse> heads;  // kv heads are 0 .. size - 1
  int dim = 16;
  QuatrainDType dtype = kQuatrainF16;
  int block_size = 16;
  int window = 0;
  int pairs = -1;  // rotated; -1: all
  float rope_scaling = 1.0f;
  std::vector<CaseSequence> sequences = {};
  int padding = 0;               // tokens, and as many empty sequences
  std::vector<int> marked = {};  // tokens
  bool is_hard = false;          // with infinities, NaN and what overflows
  bool stores = false;           // in attend()
  int compute_capability = 90;
  int num_sms = 2;
};

// Query heads divided over `kv_heads` evenly.
inline std::vector<QuatrainHeadUse> Groups(int kv_heads, int count) {
  std::vector<QuatrainHeadUse> heads;
  for (int h = 0; h < kv_heads; ++h) heads.push_back({h, h * count, count});
  return heads;
}

// --- Storing, the naive way
// ---------------------------------------------------

inline float E4m3ToF32(int code) {
  const int exponent = code >> 3 & 15;
  const int fraction = code & 7;
  const float sign = code & 0x80 ? -1.0f : 1.0f;
  if ((code & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, -9);
  return sign * std::ldexp(8.0f + fraction, exponent - 10);
}

// The nearest code, the even one of two.
inline uint8_t F32ToE4m3(float value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const double magnitude = std::fabs(value);
  int best = 0;
  for (int code = 1; code <= 0x7e; ++code) {
    const double before = std::fabs(E4m3ToF32(best) - magnitude);
    const double after = std::fabs(E4m3ToF32(code) - magnitude);
    if (after < before || (after == before && code % 2 == 0)) best = code;
  }
  return sign | best;
}

struct StoredHead {
  std::vector<unsigned char> bytes;
  float scale = 0;
  std::vector<float> read;  // what a reader sees
};

inline StoredHead Stored(QuatrainDType dtype, const float* values, int dim) {
  StoredHead head;
  float largest = 0;
  bool is_finite = true;
  for (int d = 0; d < dim; ++d) {
    largest = std::max(largest, std::fabs(values[d]));
    is_finite = is_finite && std::isfinite(values[d]);
  }
  head.scale =
      is_finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
  const auto append = [&head](auto code) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(&code);
    head.bytes.insert(head.bytes.end(), bytes, bytes + sizeof(code));
  };
  for (int d = 0; d < dim; ++d) {
    const float x = values[d];
    if (dtype == kQuatrainF32) {
      append(x);
      head.read.push_back(x);
    } else if (dtype == kQuatrainF16) {
      append(F32ToF16(x));
      head.read.push_back(F16ToF32(F32ToF16(x)));
    } else if (dtype == kQuatrainBF16) {
      append(F32ToBF16(x));
      head.read.push_back(BF16ToF32(F32ToBF16(x)));
    } else if (dtype == kQuatrainInt8) {
      const bool is_zero =
          !is_finite || head.scale < std::numeric_limits<float>::min();
      const int8_t q =
          is_zero ? 0 : static_cast<int8_t>(std::nearbyint(x / head.scale));
      append(q);
      head.read.push_back(static_cast<float>(q) * head.scale);
    } else {
      append(F32ToE4m3(x));
      head.read.push_back(E4m3ToF32(F32ToE4m3(x)));
    }
  }
  return head;
}

// --- A step -----------------------------------------------------------------

// Everything that the device and the reference are given.
class AttendStep {
 public:
  explicit AttendStep(const AttendCase& c);

  // The reference's outputs; also leaves the cache as it is after the step.
  std::vector<float> Reference();
  // The device's outputs. `twice`: attends a second time, as the next layer.
  std::vector<float> Device(bool twice = false);
  // What differs between the device's cache and the one after Reference().
  std::string CacheDifference() const;

 private:
  int ElementBytes() const {
    return case_.dtype == kQuatrainF32    ? 4
           : case_.dtype <= kQuatrainBF16 ? 2
                                          : 1;
  }
  size_t Row(int64_t slot, int is_value, int h) const {
    return ((slot / case_.block_size * 2 + is_value) * kv_heads_ + h) *
               case_.block_size +
           slot % case_.block_size;
  }
  // A token's head into the bytes that the device has and, as read, into those
  // that the reference has.
  void Store(int64_t slot, int is_value, int h, const float* values,
             std::vector<unsigned char>& bytes, std::vector<float>& scales);
  void MakePrefix();
  void MakeQkv();
  QuatrainAttendShape Shape() const;

  AttendCase case_;
  std::mt19937 random_{7};
  int kv_heads_, q_heads_, width_, num_blocks_ = 0, stride_ = 0, pairs_;
  AttentionSpec spec_;
  std::vector<int32_t> positions_, ends_{0}, contexts_, tables_, marks_;
  std::vector<int64_t> slots_;
  int real_tokens_ = 0;
  std::vector<float> qkv_;
  // Before and after the step.
  std::vector<unsigned char> bytes_, bytes_after_, device_bytes_;
  std::vector<float> scales_, scales_after_, device_scales_;
  std::vector<float> read_;  // f32, as the reference's cache
};

inline AttendStep::AttendStep(const AttendCase& c)
    : case_(c),
      kv_heads_(static_cast<int>(c.heads.size())),
      pairs_(c.pairs < 0 ? c.dim / 2 : c.pairs) {
  q_heads_ = 0;
  for (const QuatrainHeadUse& use : c.heads) {
    q_heads_ = std::max(q_heads_, use.first_q_head + use.count);
    spec_.heads.push_back({use.kv_head, use.first_q_head, use.count});
  }
  width_ = (q_heads_ + 2 * kv_heads_) * c.dim;
  spec_.num_q_heads = q_heads_;
  spec_.num_kv_heads = kv_heads_;
  spec_.head_dim = c.dim;
  spec_.scale = 1.0f / std::sqrt(static_cast<float>(c.dim));
  spec_.window = c.window;
  spec_.rope.scaling = c.rope_scaling;
  for (int i = 0; i < pairs_; ++i)
    spec_.rope.inv_freq.push_back(
        std::pow(10000.0f, -static_cast<float>(i) / pairs_));
  for (const CaseSequence& s : c.sequences) {
    const int blocks = (s.start + s.n + c.block_size - 1) / c.block_size;
    num_blocks_ += blocks;
    stride_ = std::max(stride_, blocks);
  }
  std::vector<int32_t> shuffled(num_blocks_);
  for (int b = 0; b < num_blocks_; ++b) shuffled[b] = b;
  std::shuffle(shuffled.begin(), shuffled.end(), random_);
  for (const CaseSequence& s : c.sequences) {
    std::vector<int32_t> table(stride_, -1);
    const int blocks = (s.start + s.n + c.block_size - 1) / c.block_size;
    for (int b = 0; b < blocks; ++b) {
      table[b] = shuffled.back();
      shuffled.pop_back();
    }
    tables_.insert(tables_.end(), table.begin(), table.end());
    for (int t = s.start; t < s.start + s.n; ++t) {
      positions_.push_back(t);
      slots_.push_back(int64_t{table[t / c.block_size]} * c.block_size +
                       t % c.block_size);
    }
    ends_.push_back(static_cast<int>(positions_.size()));
    contexts_.push_back(s.start + s.n);
  }
  real_tokens_ = ends_.back();
  for (int i = 0; i < c.padding; ++i) {
    positions_.push_back(0);
    slots_.push_back(-1);
    ends_.push_back(real_tokens_);
    contexts_.push_back(0);
    tables_.insert(tables_.end(), stride_, -1);
  }
  marks_.assign(positions_.size(), 0);
  for (const int t : c.marked) marks_[t] = 1;
  const size_t rows = size_t(num_blocks_) * 2 * kv_heads_ * c.block_size;
  bytes_.assign(rows * c.dim * ElementBytes(), 0xff);
  scales_.assign(rows, std::numeric_limits<float>::quiet_NaN());
  read_.assign(rows * c.dim, std::numeric_limits<float>::quiet_NaN());
  MakePrefix();
  MakeQkv();
}

inline void AttendStep::Store(int64_t slot, int is_value, int h,
                              const float* values,
                              std::vector<unsigned char>& bytes,
                              std::vector<float>& scales) {
  const StoredHead head = Stored(case_.dtype, values, case_.dim);
  const size_t row = Row(slot, is_value, h);
  std::copy(head.bytes.begin(), head.bytes.end(),
            bytes.begin() + row * head.bytes.size());
  scales[row] = head.scale;
  std::copy(head.read.begin(), head.read.end(),
            read_.begin() + row * case_.dim);
}

inline void AttendStep::MakePrefix() {
  std::normal_distribution<float> normal;
  std::vector<float> values(case_.dim);
  for (size_t s = 0; s < case_.sequences.size(); ++s)
    for (int t = 0; t < case_.sequences[s].start; ++t) {
      const int64_t slot =
          int64_t{tables_[s * stride_ + t / case_.block_size]} *
              case_.block_size +
          t % case_.block_size;
      for (int h = 0; h < kv_heads_; ++h)
        for (const int is_value : {0, 1}) {
          for (float& v : values) v = normal(random_) * 1.5f;
          // Infinite in f16; at least in the first V of every tile.
          if (case_.is_hard &&
              (random_() % 64 == 0 || (is_value && t % 32 == 0)))
            values[3] = 1e5f;
          if (case_.dtype == kQuatrainInt8 && t % 7 == 3)
            for (float& v : values) v *= 1e-37f;  // tiny and no scale
          Store(slot, is_value, h, values.data(), bytes_, scales_);
        }
    }
}

inline void AttendStep::MakeQkv() {
  std::normal_distribution<float> normal;
  qkv_.resize(positions_.size() * width_);
  for (float& v : qkv_) v = normal(random_) * 1.5f;
  if (!case_.is_hard) return;
  for (const float v : {std::numeric_limits<float>::infinity(), 1e30f, 70000.0f,
                        -1e30f, std::numeric_limits<float>::quiet_NaN()})
    qkv_[random_() % (size_t(real_tokens_) * width_)] = v;
}

inline std::vector<float> AttendStep::Reference() {
  const int dim = case_.dim;
  std::vector<float> qkv = qkv_;
  for (int t = 0; t < real_tokens_; ++t)
    if (marks_[t])
      std::fill_n(qkv.begin() + size_t(t) * width_, width_,
                  std::numeric_limits<float>::quiet_NaN());
  bytes_after_ = bytes_;
  scales_after_ = scales_;
  // The tokens of this step, stored here, since the reference does not know all
  // types; it stores them in a block of its own behind the others.
  std::vector<float> head(dim);
  for (int t = 0; t < real_tokens_; ++t)
    for (int h = 0; h < kv_heads_; ++h)
      for (const int is_value : {0, 1}) {
        const float* from = qkv.data() + size_t(t) * width_ +
                            (q_heads_ + is_value * kv_heads_ + h) * dim;
        std::copy_n(from, dim, head.data());
        for (int i = 0; i < pairs_ && !is_value; ++i) {
          const SinCosResult angle = SinCos(static_cast<float>(positions_[t]) *
                                            spec_.rope.inv_freq[i]);
          const float cos = angle.cos * case_.rope_scaling;
          const float sin = angle.sin * case_.rope_scaling;
          head[i] = std::fma(from[i], cos, -(from[i + pairs_] * sin));
          head[i + pairs_] = std::fma(from[i + pairs_], cos, from[i] * sin);
        }
        Store(slots_[t], is_value, h, head.data(), bytes_after_, scales_after_);
      }
  std::vector<float> cache = read_;
  cache.resize(cache.size() + size_t(2) * kv_heads_ * case_.block_size * dim);
  const std::vector<int64_t> elsewhere(real_tokens_,
                                       int64_t{num_blocks_} * case_.block_size);
  // Empty entries of a table are never read.
  StepView view{.num_tokens = real_tokens_,
                .num_sequences = static_cast<int>(case_.sequences.size()),
                .block_stride = stride_,
                .token_ids = nullptr,
                .positions = positions_.data(),
                .slot_mapping = elsewhere.data(),
                .cu_seqlens = ends_.data(),
                .context_lens = contexts_.data(),
                .block_tables = tables_.data(),
                .logits_rows = {}};
  const KvLayer kv{.data = cache.data(),
                   .dtype = DType::kF32,
                   .num_blocks = num_blocks_ + 1,
                   .block_size = case_.block_size,
                   .num_kv_heads = kv_heads_,
                   .head_dim = dim};
  std::vector<float> out(size_t(real_tokens_) * q_heads_ * dim);
  const MatrixView in_view{.data = qkv.data(),
                           .dtype = DType::kF32,
                           .rows = real_tokens_,
                           .cols = width_,
                           .row_stride = width_};
  const MatrixView out_view{.data = out.data(),
                            .dtype = DType::kF32,
                            .rows = real_tokens_,
                            .cols = q_heads_ * dim,
                            .row_stride = q_heads_ * dim};
  ReferenceAttend(in_view, spec_, view, kv, out_view);
  return out;
}

inline QuatrainAttendShape AttendStep::Shape() const {
  int most = 0;
  for (const QuatrainHeadUse& use : case_.heads)
    most = std::max(most, use.count);
  return {.num_q_heads = q_heads_,
          .num_kv_heads = kv_heads_,
          .head_dim = case_.dim,
          .kv_dtype = case_.dtype,
          .num_uses = kv_heads_,
          .max_count = most,
          .window = case_.window,
          .max_tokens = static_cast<int>(positions_.size()),
          .max_sequences = static_cast<int>(ends_.size()) - 1,
          .compute_capability = case_.compute_capability,
          .num_sms = case_.num_sms};
}

inline std::vector<float> AttendStep::Device(bool twice) {
  // Blocks below every window are gone: whoever reads them leaves the cache.
  std::vector<int32_t> tables = tables_;
  for (size_t s = 0; s < case_.sequences.size(); ++s)
    for (int b = 0;
         case_.window > 0 && (b + 1) * case_.block_size <=
                                 case_.sequences[s].start + 1 - case_.window;
         ++b)
      tables[s * stride_ + b] = 1 << 26;
  const DeviceArray<float> qkv(qkv_);
  const DeviceArray<int32_t> positions(positions_), ends(ends_), table(tables),
      marks(marks_);
  const DeviceArray<int64_t> slots(slots_);
  const DeviceArray<QuatrainHeadUse> heads(case_.heads);
  const DeviceArray<float> inv_freq(spec_.rope.inv_freq);
  const DeviceArray<unsigned char> data(bytes_);
  const DeviceArray<float> scales(scales_);
  const int tokens = static_cast<int>(positions_.size());
  const DeviceArray<float> rope(size_t(tokens) * pairs_ * 2);
  const size_t out_width = size_t(q_heads_) * case_.dim;
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
  const QuatrainKvCache kv{
      .data = data.data(),
      .scales = case_.dtype == kQuatrainInt8 ? scales.data() : nullptr,
      .dtype = case_.dtype,
      .num_blocks = num_blocks_,
      .block_size = case_.block_size,
      .num_kv_heads = kv_heads_,
      .head_dim = case_.dim};
  const QuatrainRopeTable angles{.inv_freq = inv_freq.data(),
                                 .num_freqs = pairs_,
                                 .scaling = case_.rope_scaling,
                                 .positions = positions.data(),
                                 .num_tokens = tokens,
                                 .out = rope.data()};
  CudaOk(Cuda().rope_table(&angles, nullptr), "rope_table");
  const QuatrainAttendWork divide{shape, step, work.data()};
  CudaOk(Cuda().attend_work(&divide, nullptr), "attend_work");
  const int32_t* marked = case_.marked.empty() ? nullptr : marks.data();
  const QuatrainStoreKv store{.qkv = qkv.data(),
                              .qkv_stride = width_,
                              .marks = marked,
                              .num_q_heads = q_heads_,
                              .rope = rope.data(),
                              .num_freqs = pairs_,
                              .slot_mapping = slots.data(),
                              .num_tokens = tokens,
                              .kv = kv};
  if (!case_.stores) CudaOk(Cuda().store_kv(&store, nullptr), "store_kv");
  const QuatrainAttend attend{.shape = shape,
                              .step = step,
                              .work = work.data(),
                              .lists = case_.stores
                                           ? kQuatrainSingles
                                           : kQuatrainSingles | kQuatrainChunks,
                              .stores = case_.stores,
                              .qkv = qkv.data(),
                              .qkv_stride = width_,
                              .marks = marked,
                              .rope = rope.data(),
                              .num_freqs = pairs_,
                              .heads = heads.data(),
                              .scale = spec_.scale,
                              .kv = kv,
                              .out = out.data(),
                              .out_stride = static_cast<int64_t>(out_width)};
  for (int i = 0; i < (twice ? 2 : 1); ++i)
    CudaOk(Cuda().attend(&attend, nullptr), "attend");
  DeviceArray<float>::Synchronize();
  device_bytes_ = data.Download();
  device_scales_ = scales.Download();
  std::vector<float> result = out.Download();
  result.resize(size_t(real_tokens_) * out_width);
  return result;
}

inline std::string AttendStep::CacheDifference() const {
  const int size = ElementBytes();
  const auto read = [&](const std::vector<unsigned char>& bytes, size_t i) {
    uint32_t word = 0;
    std::memcpy(&word, bytes.data() + i * size, size);
    // All NaN are one.
    const float value = size == 4 ? std::bit_cast<float>(word)
                        : case_.dtype == kQuatrainF16  ? F16ToF32(word)
                        : case_.dtype == kQuatrainBF16 ? BF16ToF32(word)
                        : case_.dtype == kQuatrainFp8  ? E4m3ToF32(word)
                                                       : 0.0f;
    return value != value ? 0xffffffffu : word;
  };
  for (size_t i = 0; i < bytes_after_.size() / size; ++i)
    if (read(device_bytes_, i) != read(bytes_after_, i))
      return "cache element " + std::to_string(i) + " differs";
  for (size_t i = 0; i < scales_after_.size(); ++i)
    if (case_.dtype == kQuatrainInt8 && scales_after_[i] == scales_after_[i] &&
        device_scales_[i] != scales_after_[i])
      return "scale " + std::to_string(i) + " differs";
  return "";
}

// Bits of outputs; a NaN must be 0x7fc00000.
inline void ExpectAttendsLikeReference(const AttendCase& c,
                                       const std::string& what,
                                       bool twice = false) {
  AttendStep step(c);
  const std::vector<float> want = step.Reference();
  const std::vector<float> got = step.Device(twice);
  EXPECT_TEXT(step.CacheDifference().empty(),
              what + ": " + step.CacheDifference());
  EXPECT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const uint32_t bits =
        want[i] != want[i] ? 0x7fc00000u : std::bit_cast<uint32_t>(want[i]);
    if (std::bit_cast<uint32_t>(got[i]) == bits) continue;
    EXPECT_TEXT(false, what + ": output " + std::to_string(i) + " is " +
                           runner::Show(got[i]) + ", expected " +
                           runner::Show(want[i]));
    return;
  }
}

}  // namespace quatrain
