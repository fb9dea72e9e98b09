#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/candidates.h"
#include "kernels/gumbel.h"
#include "kernels/row_kernels.h"
#include "tests/kernels/cuda/device.h"

// What a row of a sampling test asks for, and its naive twin: the definition
// in docs/numerics.md, 6, by the reference's own pieces.
namespace quatrain {

struct SampleCase {
  QuatrainSampleRow row = {};
  std::vector<float> logits;  // [num_ids]
  int drawable = 0;
  bool marked = false;
  std::vector<QuatrainTokenCount> counts;
  std::vector<QuatrainLogitBias> biases;

  bool draws() const { return row.kind == kQuatrainDrawRow; }
  bool filtered() const {
    return row.temperature > 0 &&
           (row.top_k > 0 || row.top_p < 1 || row.min_p > 0);
  }
  bool wants_logprobs() const { return row.logprobs || row.top_logprobs > 0; }
  SamplingSetup setup() const {
    return {.temperature = row.temperature,
            .top_k = row.top_k,
            .top_p = row.top_p,
            .seed = row.seed,
            .choice = row.choice};
  }
};

inline QuatrainSampleRow PlainRow(int kind) {
  QuatrainSampleRow row = {};
  row.kind = kind;
  row.target = -1;
  row.temperature = 1.0f;
  row.top_p = 1.0f;
  row.repetition_penalty = 1.0f;
  return row;
}

// The logits that are drawn from: penalties, then biases.
inline std::vector<float> Transformed(const SampleCase& c) {
  std::vector<float> logits = c.logits;
  if (!c.draws()) return logits;
  for (const QuatrainTokenCount& entry : c.counts) {
    if (entry.token_id >= c.drawable) continue;
    float& l = logits[entry.token_id];
    if (entry.in_prompt || entry.output_count > 0) {
      if (l > 0)
        l = l / c.row.repetition_penalty;
      else
        l = l * c.row.repetition_penalty;
    }
    const float count = static_cast<float>(entry.output_count);
    const float penalty = c.row.frequency_penalty * count;
    l = l - penalty;
    if (entry.output_count > 0) l = l - c.row.presence_penalty;
  }
  for (const QuatrainLogitBias& entry : c.biases)
    if (entry.token_id < c.drawable)
      logits[entry.token_id] = logits[entry.token_id] + entry.bias;
  return logits;
}

inline std::vector<float> TileLse(std::span<const float> logits,
                                  float temperature) {
  std::vector<float> lse((logits.size() + kVocabTile - 1) / kVocabTile);
  ReferenceRowKernels().TileLogSumExp(logits, temperature, lse);
  return lse;
}

inline bool AllFinite(std::span<const float> logits) {
  return ReferenceRowKernels().AllFinite(logits);
}

// The id that a filtered row draws from `logits`, its drawable ones.
inline int DrawFiltered(const SampleCase& c, std::span<const float> logits) {
  const SamplingSetup setup = c.setup();
  std::vector<Candidate> sorted;
  for (size_t i = 0; i < logits.size(); ++i)
    sorted.push_back({static_cast<int32_t>(i), logits[i]});
  SortCandidates(setup.temperature, sorted);
  size_t kept = *CountKept(setup, sorted, sorted.size(), sorted.size(),
                           TileLse(logits, setup.temperature));
  const float max = sorted[0].logit / setup.temperature;
  if (c.row.min_p > 0)
    while (
        !(sorted[kept - 1].logit / setup.temperature - max >= Log(c.row.min_p)))
      --kept;
  return Draw(setup, c.row.position, std::span(sorted).first(kept)).id;
}

inline QuatrainSampled Expected(const SampleCase& c) {
  const ReferenceRowKernels kernels;
  QuatrainSampled want = {};
  const std::vector<float> transformed = Transformed(c);
  const std::span<const float> raw(c.logits);
  const std::span<const float> drawn = std::span(transformed).first(c.drawable);
  if (c.marked || !AllFinite(raw) || (c.draws() && !AllFinite(drawn))) {
    want.token_id = -1;
    want.not_finite = 1;
    return want;
  }
  want.token_id = c.row.target;
  if (c.draws()) {
    if (c.row.temperature == 0)
      want.token_id = kernels.Largest(drawn);
    else if (!c.filtered())
      want.token_id =
          kernels.LargestPerturbed(drawn, 0, c.setup(), c.row.position);
    else
      want.token_id = DrawFiltered(c, drawn);
  }
  if (!c.wants_logprobs()) return want;
  const float lse = MergeLogSumExp(TileLse(raw, 1.0f));
  const std::span<const float> drawable = raw.first(c.drawable);
  const float logit = raw[want.token_id];
  want.logprob = logit - lse;
  want.rank = 1 + kernels.CountBefore(drawable, logit, want.token_id);
  want.num_top = std::min(c.row.top_logprobs, c.drawable);
  std::vector<int32_t> best(want.num_top);
  kernels.Best(drawable, 1.0f, best);
  for (int i = 0; i < want.num_top; ++i)
    want.top[i] = {best[i], raw[best[i]] - lse};
  return want;
}

inline std::string Bits(float value) {
  return std::to_string(std::bit_cast<uint32_t>(value));
}

// Every bit of a result that means something.
inline std::string Text(const QuatrainSampled& row, bool logprobs) {
  std::string text =
      std::to_string(row.token_id) + (row.not_finite ? " not finite" : "");
  if (row.not_finite || !logprobs) return text;
  text += " " + Bits(row.logprob) + " rank " + std::to_string(row.rank);
  for (int i = 0; i < row.num_top; ++i)
    text += " " + std::to_string(row.top[i].token_id) + ":" +
            Bits(row.top[i].logprob);
  return text;
}

inline std::string Describe(const SampleCase& c) {
  const QuatrainSampleRow& row = c.row;
  return "ids " + std::to_string(c.logits.size()) + " drawable " +
         std::to_string(c.drawable) + " kind " + std::to_string(row.kind) +
         " temperature " + std::to_string(row.temperature) + " top_k " +
         std::to_string(row.top_k) + " top_p " + std::to_string(row.top_p) +
         " min_p " + std::to_string(row.min_p) + " counts " +
         std::to_string(c.counts.size()) + " biases " +
         std::to_string(c.biases.size()) + " top_logprobs " +
         std::to_string(row.top_logprobs);
}

// Cases of one number of ids, as one batch on the device.
class SampleBatch {
 public:
  explicit SampleBatch(const std::vector<SampleCase>& cases)
      : SampleBatch(Flat(cases)) {}

  QuatrainSampleInput input(void* scratch) const {
    return {logits_.data(),
            transformed_.data(),
            stride_,
            marks_.data(),
            rows_.data(),
            static_cast<int>(rows_.size()),
            0,
            num_ids_,
            drawable_,
            scratch};
  }

  void Transform(int first_id = 0) const {
    QuatrainTransform op{input(nullptr), counts_.data(), biases_.data(),
                         transformed_.data()};
    op.input.first_id = first_id;
    CudaOk(Cuda().transform(&op, nullptr), "transform");
  }

  // Takes over the logits, rows and marks of a batch of the same shape.
  void Copy(const SampleBatch& other, QuatrainStream stream) const {
    CudaOk(Cuda().copy(logits_.data(), other.logits_.data(), logits_.bytes(),
                       stream),
           "copy");
    CudaOk(Cuda().copy(rows_.data(), other.rows_.data(), rows_.bytes(), stream),
           "copy");
    CudaOk(
        Cuda().copy(marks_.data(), other.marks_.data(), marks_.bytes(), stream),
        "copy");
  }

  static int64_t StrideOf(int num_ids) { return (num_ids + 3) / 4 * 4 + 4; }

 private:
  struct Flattened {
    std::vector<float> logits;
    std::vector<int32_t> marks;
    std::vector<QuatrainSampleRow> rows;
    std::vector<QuatrainTokenCount> counts;
    std::vector<QuatrainLogitBias> biases;
    int num_ids, drawable;
  };

  static Flattened Flat(const std::vector<SampleCase>& cases) {
    Flattened flat;
    flat.num_ids = static_cast<int>(cases[0].logits.size());
    flat.drawable = cases[0].drawable;
    const size_t stride = static_cast<size_t>(StrideOf(flat.num_ids));
    for (const SampleCase& c : cases) {
      QuatrainSampleRow row = c.row;
      row.first_count = static_cast<int32_t>(flat.counts.size());
      row.num_counts = static_cast<int32_t>(c.counts.size());
      row.first_bias = static_cast<int32_t>(flat.biases.size());
      row.num_biases = static_cast<int32_t>(c.biases.size());
      flat.rows.push_back(row);
      flat.counts.insert(flat.counts.end(), c.counts.begin(), c.counts.end());
      flat.biases.insert(flat.biases.end(), c.biases.begin(), c.biases.end());
      flat.marks.push_back(c.marked ? 1 : 0);
      flat.logits.insert(flat.logits.end(), c.logits.begin(), c.logits.end());
      // What lies between rows belongs to nobody.
      flat.logits.resize(flat.rows.size() * stride,
                         std::numeric_limits<float>::quiet_NaN());
    }
    return flat;
  }

  explicit SampleBatch(const Flattened& flat)
      : num_ids_(flat.num_ids),
        drawable_(flat.drawable),
        stride_(StrideOf(flat.num_ids)),
        logits_(flat.logits),
        transformed_(flat.logits.size()),
        marks_(flat.marks),
        rows_(flat.rows),
        counts_(flat.counts),
        biases_(flat.biases) {}

  int num_ids_, drawable_;
  int64_t stride_;
  DeviceArray<float> logits_, transformed_;
  DeviceArray<int32_t> marks_;
  DeviceArray<QuatrainSampleRow> rows_;
  DeviceArray<QuatrainTokenCount> counts_;
  DeviceArray<QuatrainLogitBias> biases_;
};

inline DeviceArray<unsigned char> SampleScratch(int num_ids, size_t rows) {
  size_t bytes = 0;
  CudaOk(Cuda().sample_scratch_bytes(num_ids, &bytes), "sample_scratch_bytes");
  return DeviceArray<unsigned char>(rows * bytes).Cleared();
}

}  // namespace quatrain
