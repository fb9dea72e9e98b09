// Counters of sampling, of one row of 32,000 logits each. The scan reads all of
// them once; what comes after it may read again what it cannot exclude. Bank
// conflicts are of histograms, where a thread adds up two neighbours, and of
// sorts, whose lists are short; loops over logits use no shared memory.

#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/linear_case.h"
#include "tests/kernels/cuda/sampling_case.h"

namespace quatrain {
namespace {

constexpr int kVocab = 32000;
constexpr double kLogitBytes = 4.0 * kVocab;

// Logits as a language model's: few ids have nearly all the mass.
SampleCase PeakedCase() {
  SampleCase c;
  c.row = PlainRow(kQuatrainDrawRow);
  c.drawable = kVocab;
  Random random(5);
  for (int i = 0; i < kVocab; ++i)
    c.logits.push_back(random.Int(0, 300) == 0 ? 10.0f + 2.0f * random.Bell()
                                               : 2.0f * random.Bell());
  return c;
}

// An id of five in the prompt, of ten with a bias.
SampleCase PenalizedCase() {
  SampleCase c = PeakedCase();
  c.row.repetition_penalty = 1.3f;
  for (int id = 0; id < kVocab; id += 80) c.counts.push_back({id, 1, 0});
  for (int id = 0; id < kVocab; id += 160) c.biases.push_back({id, 1.0f});
  return c;
}

CounterLine CountSample(const std::string& what, const SampleCase& c,
                        const CounterLimits& limits) {
  const SampleBatch batch({c});
  const DeviceArray<unsigned char> scratch = SampleScratch(kVocab, 1);
  const DeviceArray<QuatrainSampled> out(1);
  const QuatrainSample op{batch.input(scratch.data()), out.data()};
  return Counted("sample", what, kLogitBytes, {op.input.logits, kLogitBytes},
                 limits,
                 [&] { CudaOk(Cuda().sample(&op, nullptr), "sample"); });
}

CounterLine CountSamplePart(const std::string& what, const SampleCase& c,
                            const CounterLimits& limits) {
  const SampleBatch batch({c});
  const DeviceArray<unsigned char> scratch = SampleScratch(kVocab, 1);
  const int64_t tiles = (kVocab + kVocabTile - 1) / kVocabTile;
  const DeviceArray<QuatrainRowPart> parts(1);
  const DeviceArray<float> raw_lse(tiles), lse(tiles);
  const DeviceArray<QuatrainCandidate> candidates(kQuatrainMaxCandidates),
      top(kQuatrainMaxTopLogprobs);
  const QuatrainSamplePart op{batch.input(scratch.data()),
                              parts.data(),
                              raw_lse.data(),
                              lse.data(),
                              tiles,
                              candidates.data(),
                              top.data()};
  return Counted(
      "sample_part", what, kLogitBytes, {op.input.logits, kLogitBytes}, limits,
      [&] { CudaOk(Cuda().sample_part(&op, nullptr), "sample_part"); });
}

// Entries of the lists read what the copy has written.
CounterLine CountTransform() {
  const SampleCase c = PenalizedCase();
  const SampleBatch batch({c});
  const double lists = c.counts.size() * sizeof(QuatrainTokenCount) +
                       c.biases.size() * sizeof(QuatrainLogitBias);
  return Counted("transform", "32000, 400 counts, 200 biases",
                 2 * kLogitBytes + lists,
                 {batch.input(nullptr).logits, kLogitBytes}, {.of_floor = 1.06},
                 [&] { batch.Transform(); });
}

CounterLine CountCountBefore() {
  const SampleBatch batch({PeakedCase()});
  const DeviceArray<QuatrainCountBefore> rows(
      std::vector<QuatrainCountBefore>{{1, 9.0f, 100}});
  const DeviceArray<int32_t> counts = DeviceArray<int32_t>(1).Cleared();
  const QuatrainCount op{batch.input(nullptr), rows.data(), counts.data()};
  return Counted(
      "count_before", "32000", kLogitBytes, {op.input.logits, kLogitBytes}, {},
      [&] { CudaOk(Cuda().count_before(&op, nullptr), "count_before"); });
}

}  // namespace

std::vector<CounterLine> CountSampling() {
  std::vector<CounterLine> lines;
  SampleCase c = PeakedCase();
  lines.push_back(CountSample("temperature 1", c, {}));
  c.row.temperature = 0.0f;
  lines.push_back(CountSample("greedy", c, {}));
  c.row.top_logprobs = 5;
  lines.push_back(CountSample("greedy, 5 top_logprobs", c, {1.1, 1.1, 600}));
  c = PeakedCase();
  c.row.top_k = 50;
  lines.push_back(CountSample("top_k 50", c, {1.8, 1.8, 600}));
  lines.push_back(CountSamplePart("top_k 50", c, {1.5, 1.8, 700}));
  c.row.top_p = 0.9f;
  lines.push_back(CountSample("top_k 50, top_p 0.9", c, {1.7, 2.4, 900}));
  c.row.top_k = 0;
  lines.push_back(CountSample("top_p 0.9", c, {2.6, 2.7, 400}));
  c.row.top_p = 1.0f;
  c.row.min_p = 0.1f;
  lines.push_back(CountSample("min_p 0.1", c, {1.25, 1.2, 0}));
  lines.push_back(CountTransform());
  lines.push_back(CountCountBefore());
  return lines;
}

}  // namespace quatrain
