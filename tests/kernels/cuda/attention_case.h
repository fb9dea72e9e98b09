#pragma once

#include <bit>
#include <string>
#include <vector>

#include "kernels/reference_math.h"
#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/attention_step.h"
#include "tests/kernels/cuda/device.h"
#include "tests/kernels/simt/runner.h"

// One step of attention on the device and by the reference.
namespace quatrain {

inline std::vector<float> AttendStep::Reference() const {
  const int dim = case_.dim;
  std::vector<float> qkv = qkv_;
  for (int t = 0; t < real_tokens_; ++t)
    if (marks_[t])
      std::fill_n(qkv.begin() + size_t(t) * width_, width_,
                  std::numeric_limits<float>::quiet_NaN());
  // The tokens of this step are there already, since the reference does not
  // know all types; it stores them in a block of its own behind the others.
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

inline std::vector<float> AttendStep::Device(bool twice) {
  const DeviceArray<float> qkv(qkv_);
  const DeviceArray<int32_t> positions(positions_), ends(ends_),
      table(TablesOfWindow()), marks(marks_);
  const DeviceArray<int64_t> slots(slots_);
  const DeviceArray<QuatrainHeadUse> heads(case_.heads);
  const DeviceArray<float> inv_freq(spec_.rope.inv_freq);
  const DeviceArray<unsigned char> data(bytes_);
  const DeviceArray<float> scales(scales_);
  const int tokens = static_cast<int>(positions_.size());
  const DeviceArray<float> rope(size_t(tokens) * pairs_ * 2);
  const size_t out_width = size_t(q_heads_) * case_.dim;
  const DeviceArray<float> out =  // rows of padding tokens are not written
      DeviceArray<float>(size_t(tokens) * out_width).Cleared();
  const QuatrainAttendShape shape = Shape();
  const DeviceArray<unsigned char> work(AttendWorkBytes(shape));

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
    CudaOk(
        (case_.uses_mma ? Cuda().attend_mma : Cuda().attend)(&attend, nullptr),
        "attend");
  DeviceArray<float>::Synchronize();
  device_bytes_ = data.Download();
  device_scales_ = scales.Download();
  std::vector<float> result = out.Download();
  result.resize(size_t(real_tokens_) * out_width);
  return result;
}

// Bits of outputs; a NaN must be 0x7fc00000.
inline void ExpectAttendsLikeReference(const AttendCase& c,
                                       const std::string& what,
                                       bool twice = false) {
  AttendStep step(c);
  const std::vector<float> want = step.Reference();
  const std::vector<float> got = step.Device(twice);
  const std::string difference = step.CacheDifference();
  EXPECT_TEXT(difference.empty(), what + ": " + difference);
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
