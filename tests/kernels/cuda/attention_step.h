#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/cuda/table.h"
#include "kernels/math.h"
#include "kernels/reference_math.h"
#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/attention_stored.h"
#include "tests/kernels/cuda/rank_heads.h"

// One step of attention: what the device and the reference are given. How both
// are run is in attention_case.h.
namespace quatrain {

// A sequence of a step: tokens [start, start + n) are new.
struct CaseSequence {
  int start = 0;
  int n = 1;
};

// Standard deviations. Small q and K give even weights, where every key counts.
struct CaseSizes {
  float q = 1.5f;
  float k = 1.5f;
  float v = 1.5f;
  float v_growth = 1.0f;  // of V from token to token of this step
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
  bool uses_mma = false;         // attend_mma() instead of attend()
  int compute_capability = 90;
  int num_sms = 2;
  CaseSizes sizes = {};
};

// --- A step -----------------------------------------------------------------

// Everything that the device and the reference are given.
class AttendStep {
 public:
  explicit AttendStep(const AttendCase& c);

  // The reference's outputs.
  std::vector<float> Reference() const;
  // The device's outputs. `twice`: attends a second time, as the next layer.
  std::vector<float> Device(bool twice = false);
  // What differs between the device's cache and what it should be.
  std::string CacheDifference() const;

  const AttendCase& test_case() const { return case_; }
  int num_q_heads() const { return q_heads_; }
  float scale() const { return spec_.scale; }
  int first_token(int sequence) const { return ends_[sequence]; }
  int position(int token) const { return positions_[token]; }
  // A head of qkv as the device has it in f32: q and K rotated.
  std::vector<float> Head(int token, int head) const;
  // K or V of a key after the step, as read.
  struct Row {
    const float* x;
    float scale;  // int8 only
  };
  Row Cached(int sequence, int position, int is_value, int kv_head) const;

 private:
  int ElementBytes() const {
    return case_.dtype == kQuatrainF32    ? 4
           : case_.dtype <= kQuatrainBF16 ? 2
                                          : 1;
  }
  int64_t SlotOf(int sequence, int position) const {
    const int size = case_.block_size;
    return int64_t{tables_[sequence * stride_ + position / size]} * size +
           position % size;
  }
  size_t RowOf(int64_t slot, int is_value, int h) const {
    return ((slot / case_.block_size * 2 + is_value) * kv_heads_ + h) *
               case_.block_size +
           slot % case_.block_size;
  }
  // A token's head into the bytes that the device has and, as read, into those
  // that the reference has.
  void Store(int64_t slot, int is_value, int h, const float* values,
             std::vector<unsigned char>& bytes, std::vector<float>& scales);
  void MakeSpec();
  void MakeTokens();
  void MakePrefix();
  void MakeQkv();
  void StoreTokens();
  QuatrainAttendShape Shape() const;
  // Block tables without the blocks below every window: whoever reads them
  // leaves the cache.
  std::vector<int32_t> TablesOfWindow() const;

  AttendCase case_;
  std::mt19937 random_{7};
  int kv_heads_, q_heads_ = 0, width_, num_blocks_ = 0, stride_ = 0, pairs_;
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
  MakeSpec();
  MakeTokens();
  const size_t rows = size_t(num_blocks_) * 2 * kv_heads_ * c.block_size;
  bytes_.assign(rows * c.dim * ElementBytes(), 0xff);
  scales_.assign(rows, std::numeric_limits<float>::quiet_NaN());
  read_.assign(rows * c.dim, std::numeric_limits<float>::quiet_NaN());
  MakePrefix();
  MakeQkv();
  StoreTokens();
}

inline void AttendStep::MakeSpec() {
  for (const QuatrainHeadUse& use : case_.heads) {
    q_heads_ = std::max(q_heads_, use.first_q_head + use.count);
    spec_.heads.push_back({use.kv_head, use.first_q_head, use.count});
  }
  width_ = (q_heads_ + 2 * kv_heads_) * case_.dim;
  spec_.num_q_heads = q_heads_;
  spec_.num_kv_heads = kv_heads_;
  spec_.head_dim = case_.dim;
  spec_.scale = 1.0f / std::sqrt(static_cast<float>(case_.dim));
  spec_.window = case_.window;
  spec_.rope.scaling = case_.rope_scaling;
  for (int i = 0; i < pairs_; ++i)
    spec_.rope.inv_freq.push_back(
        std::pow(10000.0f, -static_cast<float>(i) / pairs_));
}

// Blocks lie anywhere.
inline void AttendStep::MakeTokens() {
  const auto blocks = [&](const CaseSequence& s) {
    return (s.start + s.n + case_.block_size - 1) / case_.block_size;
  };
  for (const CaseSequence& s : case_.sequences) {
    num_blocks_ += blocks(s);
    stride_ = std::max(stride_, blocks(s));
  }
  std::vector<int32_t> shuffled(num_blocks_);
  for (int b = 0; b < num_blocks_; ++b) shuffled[b] = b;
  std::shuffle(shuffled.begin(), shuffled.end(), random_);
  for (size_t i = 0; i < case_.sequences.size(); ++i) {
    const CaseSequence& s = case_.sequences[i];
    tables_.resize(tables_.size() + stride_, -1);
    for (int b = 0; b < blocks(s); ++b) {
      tables_[i * stride_ + b] = shuffled.back();
      shuffled.pop_back();
    }
    for (int t = s.start; t < s.start + s.n; ++t) {
      positions_.push_back(t);
      slots_.push_back(SlotOf(static_cast<int>(i), t));
    }
    ends_.push_back(static_cast<int>(positions_.size()));
    contexts_.push_back(s.start + s.n);
  }
  real_tokens_ = ends_.back();
  for (int i = 0; i < case_.padding; ++i) {
    positions_.push_back(0);
    slots_.push_back(-1);
    ends_.push_back(real_tokens_);
    contexts_.push_back(0);
    tables_.resize(tables_.size() + stride_, -1);
  }
  marks_.assign(positions_.size(), 0);
  for (const int t : case_.marked) marks_[t] = 1;
}

inline void AttendStep::Store(int64_t slot, int is_value, int h,
                              const float* values,
                              std::vector<unsigned char>& bytes,
                              std::vector<float>& scales) {
  const StoredHead head = Stored(case_.dtype, values, case_.dim);
  const size_t row = RowOf(slot, is_value, h);
  std::copy(head.bytes.begin(), head.bytes.end(),
            bytes.begin() + row * head.bytes.size());
  scales[row] = head.scale;
  std::copy(head.read.begin(), head.read.end(),
            read_.begin() + row * case_.dim);
}

inline void AttendStep::MakePrefix() {
  std::normal_distribution<float> normal;
  std::vector<float> values(case_.dim);
  // Infinite in f16; others have room for it, or a largest value.
  const float hard =
      ElementBytes() == 1 ? std::numeric_limits<float>::quiet_NaN() : 1e5f;
  for (size_t s = 0; s < case_.sequences.size(); ++s)
    for (int t = 0; t < case_.sequences[s].start; ++t)
      for (int h = 0; h < kv_heads_; ++h)
        for (const int is_value : {0, 1}) {
          for (float& v : values)
            v = normal(random_) * (is_value ? case_.sizes.v : case_.sizes.k);
          // At least in the first V of most tiles.
          if (case_.is_hard && (random_() % 64 == 0 ||
                                (is_value && t % 32 == 0 && t % 96 != 64)))
            values[3] = hard;
          if (case_.dtype == kQuatrainInt8 && t % 7 == 3)
            for (float& v : values) v *= 1e-37f;  // tiny and no scale
          Store(SlotOf(static_cast<int>(s), t), is_value, h, values.data(),
                bytes_, scales_);
        }
}

inline void AttendStep::MakeQkv() {
  std::normal_distribution<float> normal;
  qkv_.resize(positions_.size() * width_);
  float v_size = case_.sizes.v;
  for (size_t i = 0; i < qkv_.size(); ++i) {
    const int head = static_cast<int>(i % width_) / case_.dim;
    const float size = head < q_heads_               ? case_.sizes.q
                       : head < q_heads_ + kv_heads_ ? case_.sizes.k
                                                     : v_size;
    qkv_[i] = normal(random_) * size;
    if ((i + 1) % width_ == 0) v_size *= case_.sizes.v_growth;
  }
  if (!case_.is_hard) return;
  for (const float v : {std::numeric_limits<float>::infinity(), 1e30f, 70000.0f,
                        -1e30f, std::numeric_limits<float>::quiet_NaN()})
    qkv_[random_() % (size_t(real_tokens_) * width_)] = v;
}

inline std::vector<float> AttendStep::Head(int token, int head) const {
  const float* from = qkv_.data() + size_t(token) * width_ + head * case_.dim;
  std::vector<float> x(from, from + case_.dim);
  if (marks_[token]) {
    std::fill(x.begin(), x.end(), std::numeric_limits<float>::quiet_NaN());
    return x;
  }
  for (int i = 0; i < pairs_ && head < q_heads_ + kv_heads_; ++i) {
    const SinCosResult angle =
        SinCos(static_cast<float>(positions_[token]) * spec_.rope.inv_freq[i]);
    const float cos = angle.cos * case_.rope_scaling;
    const float sin = angle.sin * case_.rope_scaling;
    x[i] = std::fma(from[i], cos, -(from[i + pairs_] * sin));
    x[i + pairs_] = std::fma(from[i + pairs_], cos, from[i] * sin);
  }
  return x;
}

inline AttendStep::Row AttendStep::Cached(int sequence, int position,
                                          int is_value, int kv_head) const {
  const size_t row = RowOf(SlotOf(sequence, position), is_value, kv_head);
  return {read_.data() + row * case_.dim, scales_after_[row]};
}

inline void AttendStep::StoreTokens() {
  bytes_after_ = bytes_;
  scales_after_ = scales_;
  for (int t = 0; t < real_tokens_; ++t)
    for (int h = 0; h < kv_heads_; ++h)
      for (const int is_value : {0, 1})
        Store(slots_[t], is_value, h,
              Head(t, q_heads_ + is_value * kv_heads_ + h).data(), bytes_after_,
              scales_after_);
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
          .compute_capability = CapabilityToRun(case_.compute_capability),
          .num_sms = case_.num_sms,
          .uses_mma = case_.uses_mma};
}

inline std::vector<int32_t> AttendStep::TablesOfWindow() const {
  std::vector<int32_t> tables = tables_;
  for (size_t s = 0; s < case_.sequences.size(); ++s)
    for (int b = 0;
         case_.window > 0 && (b + 1) * case_.block_size <=
                                 case_.sequences[s].start + 1 - case_.window;
         ++b)
      tables[s * stride_ + b] = 1 << 26;
  return tables;
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
  const bool is_same = device_bytes_ == bytes_after_;  // NaN and all
  for (size_t i = 0; !is_same && i < bytes_after_.size() / size; ++i)
    if (read(device_bytes_, i) != read(bytes_after_, i))
      return "cache element " + std::to_string(i) + " differs";
  for (size_t i = 0; i < scales_after_.size(); ++i)
    if (case_.dtype == kQuatrainInt8 && scales_after_[i] == scales_after_[i] &&
        device_scales_[i] != scales_after_[i])
      return "scale " + std::to_string(i) + " differs";
  return "";
}

}  // namespace quatrain
