#include <bit>

#include "tests/kernels/cuda/sampling_case.h"
#include "tests/kernels/simt/runner.h"

// Sampling on the device against its naive twin: the same bits.
namespace quatrain {
namespace {

enum Pattern { kNormal, kEqual, kTies, kRising, kPeaked, kLarge, kNumPatterns };

class Source {
 public:
  explicit Source(uint64_t seed) : engine_(seed) {}
  int Int(int low, int high) {  // both ends included
    return std::uniform_int_distribution<int>(low, high)(engine_);
  }
  float Normal() { return std::normal_distribution<float>()(engine_); }
  template <typename T>
  T Of(std::initializer_list<T> values) {
    return values.begin()[Int(0, static_cast<int>(values.size()) - 1)];
  }

  std::vector<float> Logits(int num_ids, int pattern) {
    std::vector<float> logits(num_ids);
    for (int i = 0; i < num_ids; ++i) logits[i] = Logit(i, pattern);
    return logits;
  }

 private:
  float Logit(int i, int pattern) {
    switch (pattern) {
      case kNormal:
        return 3.0f * Normal();
      case kEqual:
        return i % 2 == 0 ? 0.0f : -0.0f;
      case kTies:  // few values, both zeros among them
        return Of({-0.0f, 0.0f, 1.0f, 2.0f, -1.5f});
      case kRising:
        return 0.01f * static_cast<float>(i) - 2.0f;
      case kPeaked:  // as a language model's: few ids have nearly all the mass
        return Int(0, 30) == 0 ? 20.0f + 2.0f * Normal() : 2.0f * Normal();
      default:
        return 1e4f * Normal();
    }
  }

  std::mt19937_64 engine_;
};

SampleCase RandomCase(int num_ids, int drawable, int pattern, Source& source) {
  SampleCase c;
  c.row = PlainRow(kQuatrainDrawRow);
  c.drawable = drawable;
  c.logits = source.Logits(num_ids, pattern);
  c.row.seed = static_cast<uint64_t>(source.Int(0, 1 << 30)) << 20;
  c.row.choice = static_cast<uint32_t>(source.Int(0, 3));
  c.row.position = source.Int(0, 100000);
  c.row.logprobs = source.Int(0, 1);
  c.row.top_logprobs = source.Of({0, 0, 1, 5, 20});
  if (source.Int(0, 9) == 0) {
    c.row.kind = kQuatrainScoreRow;
    c.row.target = source.Int(0, num_ids - 1);
    return c;
  }
  c.row.temperature = source.Of({0.0f, 0.01f, 0.7f, 1.0f, 1.0f, 1.3f, 100.0f});
  c.row.top_k = source.Of({0, 0, 0, 1, 2, 40, 256, 257, num_ids, 1 << 30});
  c.row.top_p = source.Of({1.0f, 1.0f, 1e-7f, 0.5f, 0.9f, 0.999999f});
  c.row.min_p = source.Of({0.0f, 0.0f, 0.0f, 0.1f, 1e-6f, 1.0f});
  return c;
}

void AddPenalties(SampleCase& c, Source& source) {
  const int num_ids = static_cast<int>(c.logits.size());
  c.row.repetition_penalty = source.Of({1.0f, 1.3f, 0.8f});
  c.row.frequency_penalty = source.Of({0.0f, 0.3f, -0.5f});
  c.row.presence_penalty = source.Of({0.0f, 1.1f, -0.7f});
  for (int id = 0; id < num_ids; ++id) {
    if (source.Int(0, 4) == 0)
      c.counts.push_back({id, source.Int(0, 1), source.Int(0, 3)});
    if (source.Int(0, 9) == 0) c.biases.push_back({id, 2.0f * source.Normal()});
  }
  std::shuffle(c.counts.begin(), c.counts.end(), std::mt19937(7));
}

void ExpectResult(const SampleCase& c, const QuatrainSampled& got) {
  if (c.row.kind == kQuatrainSkipRow) {
    EXPECT_TEXT(got.token_id == -1 && got.not_finite == -1,
                "a padding row was written");
    return;
  }
  const std::string text = Text(got, c.wants_logprobs());
  const std::string want = Text(Expected(c), c.wants_logprobs());
  EXPECT_TEXT(text == want,
              Describe(c) + "\n  got  " + text + "\n  want " + want);
}

// Runs the batch twice with one scratch, which a run must leave ready.
void Check(const std::vector<SampleCase>& cases) {
  const SampleBatch batch(cases);
  const int num_ids = static_cast<int>(cases[0].logits.size());
  const DeviceArray<unsigned char> scratch =
      SampleScratch(num_ids, cases.size());
  for (int run = 0; run < 2; ++run) {
    const DeviceArray<QuatrainSampled> out(cases.size());
    CudaOk(Cuda().fill(out.data(), 0xFF, out.bytes(), nullptr), "fill");
    batch.Transform();
    const QuatrainSample op{batch.input(scratch.data()), out.data()};
    CudaOk(Cuda().sample(&op, nullptr), "sample");
    const std::vector<QuatrainSampled> got = out.Download();
    for (size_t i = 0; i < cases.size(); ++i) ExpectResult(cases[i], got[i]);
  }
}

SIMT_TEST(RowsOfAllKindsEqualTheNaiveTwin) {
  Source source(1);
  for (const int num_ids : {1, 5, 255, 256, 257, 1000})
    for (int pattern = 0; pattern < kNumPatterns; ++pattern) {
      const int drawable =
          source.Int(0, 2) == 0 ? source.Int(1, num_ids) : num_ids;
      std::vector<SampleCase> cases;
      const int rows = num_ids < 257 ? 8 : 24;
      for (int i = 0; i < rows; ++i)
        cases.push_back(RandomCase(num_ids, drawable, pattern, source));
      Check(cases);
    }
}

SIMT_TEST(PenaltiesAndBiasesComeBeforeTheDraw) {
  Source source(2);
  for (const int num_ids : {5, 257, 3000}) {
    std::vector<SampleCase> cases;
    for (int i = 0; i < 12; ++i) {
      cases.push_back(
          RandomCase(num_ids, num_ids - num_ids / 10, i % 2, source));
      if (i % 4 != 3) AddPenalties(cases.back(), source);
    }
    Check(cases);
  }
}

SIMT_TEST(RowsThatAreNotFiniteOrPaddingAreSkipped) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Source source(3);
  std::vector<SampleCase> cases;
  for (int i = 0; i < 16; ++i) {
    SampleCase c = RandomCase(2100, 2000, kNormal, source);
    const float bad = source.Of({nan, kInfinity, -kInfinity});
    if (i % 4 == 0) c.logits[source.Int(0, 2099)] = bad;
    if (i % 4 == 1) c.row.kind = kQuatrainSkipRow;
    if (i % 4 == 2) {
      c.marked = true;
      std::fill(c.logits.begin(), c.logits.end(), nan);
    }
    if (c.row.kind == kQuatrainSkipRow)
      std::fill(c.logits.begin(), c.logits.end(), nan);
    cases.push_back(c);
  }
  cases[3].biases = {{7, 3e38f}};
  cases[3].logits[7] = 3e38f;  // finite before the bias alone
  Check(cases);
}

SampleCase LargeCase(float temperature, int top_k, float top_p, float min_p,
                     Source& source) {
  SampleCase c;
  c.row = PlainRow(kQuatrainDrawRow);
  c.drawable = 31990;
  c.logits = source.Logits(32000, kPeaked);
  c.row.seed = 99;
  c.row.temperature = temperature;
  c.row.top_k = top_k;
  c.row.top_p = top_p;
  c.row.min_p = min_p;
  c.row.top_logprobs = 20;
  return c;
}

SIMT_TEST(LargeVocabularies) {
  Source source(4);
  std::vector<SampleCase> cases = {
      LargeCase(0.0f, 0, 1.0f, 0.0f, source),
      LargeCase(1.0f, 0, 1.0f, 0.0f, source),
      LargeCase(1.0f, 0, 0.95f, 0.0f, source),
      LargeCase(100.0f, 0, 0.9f, 0.0f, source),
      LargeCase(0.01f, 50, 0.9f, 0.0f, source),
      LargeCase(0.8f, 50, 1.0f, 0.05f, source),
      LargeCase(2.0f, 5000, 0.9999f, 0.0f, source),
      LargeCase(1.0f, 0, 1.0f, 0.01f, source),
      LargeCase(50.0f, 3000, 1.0f, 0.0f, source),
  };
  // A boundary among thousands of equal ids.
  cases.push_back(LargeCase(1.0f, 4000, 0.7f, 0.0f, source));
  cases.back().logits = source.Logits(32000, kTies);
  cases.push_back(LargeCase(1.0f, 0, 0.7f, 0.0f, source));
  cases.back().logits = source.Logits(32000, kEqual);
  Check(cases);
}

// Equal ids have masses that are 1 / n to a bit or two; among the values around
// it is one whose mass is just what the first id has, which is then enough.
SIMT_TEST(MassesThatEqualTopP) {
  std::vector<SampleCase> cases;
  for (const int n : {2, 3, 5})
    for (int ulps = -4; ulps <= 4; ++ulps)
      for (int seed = 0; seed < 6; ++seed) {
        SampleCase c;
        c.row = PlainRow(kQuatrainDrawRow);
        c.logits.assign(5, -100.0f);
        std::fill_n(c.logits.begin(), n, 1.0f);
        c.drawable = 5;
        c.row.temperature = 1.0f;
        c.row.seed = seed;
        c.row.top_p =
            std::bit_cast<float>(std::bit_cast<int32_t>(1.0f / n) + ulps);
        cases.push_back(c);
      }
  Check(cases);
}

std::vector<SampleCase> RandomCases(int num, int num_ids, Source& source) {
  std::vector<SampleCase> cases;
  for (int i = 0; i < num; ++i)
    cases.push_back(RandomCase(num_ids, num_ids, kNormal, source));
  return cases;
}

SIMT_TEST(OneGraphServesRowsOfAllKinds) {
  constexpr int kRows = 6, kIds = 2500;
  Source source(7);
  const SampleBatch batch(RandomCases(kRows, kIds, source));
  const DeviceArray<unsigned char> scratch = SampleScratch(kIds, kRows);
  const DeviceArray<QuatrainSampled> out(kRows);
  const QuatrainSample op{batch.input(scratch.data()), out.data()};
  QuatrainStream stream;
  QuatrainGraph graph;
  CudaOk(Cuda().stream_create(&stream), "stream_create");
  CudaOk(Cuda().capture_begin(stream), "capture_begin");
  CudaOk(Cuda().sample(&op, stream), "sample");
  CudaOk(Cuda().capture_end(stream, &graph), "capture_end");
  for (int replay = 0; replay < 3; ++replay) {
    const std::vector<SampleCase> cases = RandomCases(kRows, kIds, source);
    const SampleBatch next(cases);
    batch.Copy(next, stream);
    CudaOk(Cuda().graph_launch(graph, stream), "graph_launch");
    CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
    const std::vector<QuatrainSampled> got = out.Download();
    for (int i = 0; i < kRows; ++i) ExpectResult(cases[i], got[i]);
  }
  CudaOk(Cuda().graph_destroy(graph), "graph_destroy");
  CudaOk(Cuda().stream_destroy(stream), "stream_destroy");
}

SIMT_TEST(ImpossibleOperandsAreRefused) {
  Source source(8);
  const SampleBatch batch(RandomCases(1, 300, source));
  const DeviceArray<unsigned char> scratch = SampleScratch(300, 1);
  const DeviceArray<QuatrainSampled> out(1);
  QuatrainSample op{batch.input(scratch.data()), out.data()};
  op.input.stride = 301;
  EXPECT_EQ(Cuda().sample(&op, nullptr), int{kQuatrainBadArgument});
  op.input = batch.input(scratch.data());
  op.input.num_drawable = 301;
  EXPECT_EQ(Cuda().sample(&op, nullptr), int{kQuatrainBadArgument});
  op.input = batch.input(scratch.data());
  op.input.first_id = 256;
  EXPECT_EQ(Cuda().sample(&op, nullptr), int{kQuatrainBadArgument});
  op.input = batch.input(scratch.data());
  op.input.logits = nullptr;
  EXPECT_EQ(Cuda().sample(&op, nullptr), int{kQuatrainBadArgument});
  op.input = batch.input(scratch.data());
  op.input.num_rows = 0;
  EXPECT_EQ(Cuda().sample(&op, nullptr), int{kQuatrainOk});
}

// --- A rank's part -----------------------------------------------------------

template <typename T>
std::vector<T> Row(const std::vector<T>& all, size_t row, size_t stride) {
  return {all.begin() + row * stride, all.begin() + (row + 1) * stride};
}

std::string Text(std::span<const float> values) {
  std::string text;
  for (const float value : values) text += Bits(value) + " ";
  return text;
}

std::string Text(const std::vector<QuatrainCandidate>& all, int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += std::to_string(all[i].token_id) + ":" + Bits(all[i].logit) + ":" +
            Bits(all[i].raw_logit) + " ";
  return text;
}

// The best `count` by the reference.
std::string BestText(const SampleCase& c, const std::vector<float>& by,
                     const std::vector<float>& transformed, float temperature,
                     int count, int first_id) {
  std::vector<int32_t> best(count);
  ReferenceRowKernels().Best(std::span(by).first(c.drawable), temperature,
                             best);
  std::vector<QuatrainCandidate> candidates;
  for (const int32_t i : best)
    candidates.push_back({first_id + i, transformed[i], c.logits[i]});
  return Text(candidates, count);
}

std::string DrawnText(const SampleCase& c,
                      const std::vector<float>& transformed, int first_id) {
  const ReferenceRowKernels kernels;
  const std::span<const float> drawable =
      std::span(transformed).first(c.drawable);
  const int i = c.row.temperature == 0
                    ? kernels.Largest(drawable)
                    : kernels.LargestPerturbed(drawable, first_id, c.setup(),
                                               c.row.position);
  return Text({{first_id + i, transformed[i], c.logits[i]}}, 1);
}

// What the device says of a part, on the host.
struct Parts {
  std::vector<QuatrainRowPart> parts;
  std::vector<float> raw_lse, lse;
  std::vector<QuatrainCandidate> candidates, top;
};

// The same with the ids of the whole vocabulary in the lists, and some ids that
// belong to other parts.
std::vector<SampleCase> AsPart(std::vector<SampleCase> cases, int first_id) {
  for (SampleCase& c : cases) {
    for (QuatrainTokenCount& entry : c.counts) entry.token_id += first_id;
    for (QuatrainLogitBias& entry : c.biases) entry.token_id += first_id;
    if (c.counts.empty()) continue;
    c.counts.push_back({first_id - 1, 1, 1});
    c.biases.push_back({first_id + static_cast<int>(c.logits.size()), 1000.0f});
  }
  return cases;
}

Parts RunPart(const SampleBatch& batch, int first_id, size_t rows,
              int num_tiles, void* scratch) {
  const DeviceArray<QuatrainRowPart> parts(rows);
  const DeviceArray<float> raw_lse(rows * num_tiles), lse(rows * num_tiles);
  const DeviceArray<QuatrainCandidate> candidates(rows *
                                                  kQuatrainMaxCandidates),
      top(rows * kQuatrainMaxTopLogprobs);
  QuatrainSamplePart op{
      batch.input(scratch), parts.data(), raw_lse.data(), lse.data(), num_tiles,
      candidates.data(),    top.data()};
  op.input.first_id = first_id;
  CudaOk(Cuda().sample_part(&op, nullptr), "sample_part");
  return {parts.Download(), raw_lse.Download(), lse.Download(),
          candidates.Download(), top.Download()};
}

void CheckPartRow(const SampleCase& c, const Parts& got, size_t i,
                  int first_id) {
  const std::vector<float> transformed = Transformed(c);
  const QuatrainRowPart& part = got.parts[i];
  const int num_ids = static_cast<int>(c.logits.size());
  const size_t num_tiles = (num_ids + kVocabTile - 1) / kVocabTile;
  const bool finite = AllFinite(c.logits) &&
                      AllFinite(std::span(transformed).first(c.drawable));
  EXPECT_TEXT(part.not_finite == (finite ? 0 : 1), Describe(c));
  if (!finite) return;
  if (c.wants_logprobs())
    EXPECT_EQ(Text(Row(got.raw_lse, i, num_tiles)),
              Text(TileLse(c.logits, 1.0f)));
  if (c.draws() && c.row.temperature > 0 && c.row.top_k == 0 &&
      c.row.top_p < 1) {
    const std::vector<float> want =
        TileLse(std::span(transformed).first(c.drawable), c.row.temperature);
    EXPECT_EQ(Text(std::span(got.lse).subspan(i * num_tiles, want.size())),
              Text(want));
  }
  const int top = std::min(c.row.top_logprobs, c.drawable);
  EXPECT_EQ(part.num_top, top);
  EXPECT_EQ(Text(Row(got.top, i, kQuatrainMaxTopLogprobs), top),
            BestText(c, c.logits, transformed, 1.0f, top, first_id));
  const std::vector<QuatrainCandidate> candidates =
      Row(got.candidates, i, kQuatrainMaxCandidates);
  if (!c.draws()) {
    EXPECT_EQ(Bits(part.target_logit), Bits(c.logits[c.row.target - first_id]));
  } else if (!c.filtered()) {
    EXPECT_EQ(part.num_candidates, 1);
    EXPECT_EQ(Text(candidates, 1), DrawnText(c, transformed, first_id));
  } else {
    int want = std::min<int>(kQuatrainMaxCandidates, c.drawable);
    if (c.row.top_k > 0) want = std::min(want, c.row.top_k);
    EXPECT_EQ(part.num_candidates, want);
    EXPECT_EQ(Text(candidates, want),
              BestText(c, transformed, transformed, c.row.temperature, want,
                       first_id));
  }
}

SIMT_TEST(PartsOfAVocabularyEqualTheReference) {
  Source source(5);
  for (const int num_ids : {5, 256, 257, 1000, 4000})
    for (int pattern = 0; pattern < kNumPatterns; ++pattern) {
      const int first_id = 256 * source.Int(0, 100);
      std::vector<SampleCase> cases;
      for (int i = 0; i < (num_ids < 4000 ? 6 : 4); ++i) {
        SampleCase c =
            RandomCase(num_ids, num_ids - num_ids / 9, pattern, source);
        c.row.target += first_id;
        if (i == 2)
          c.logits[num_ids / 2] = std::numeric_limits<float>::infinity();
        if (i == 3) AddPenalties(c, source);
        cases.push_back(c);
      }
      const SampleBatch batch(AsPart(cases, first_id));
      batch.Transform(first_id);
      const DeviceArray<unsigned char> scratch =
          SampleScratch(num_ids, cases.size());
      const Parts got =
          RunPart(batch, first_id, cases.size(),
                  (num_ids + kVocabTile - 1) / kVocabTile, scratch.data());
      for (size_t i = 0; i < cases.size(); ++i)
        CheckPartRow(cases[i], got, i, first_id);
    }
}

SIMT_TEST(CountsAreThoseOfTheReference) {
  Source source(6);
  for (const int pattern : {kNormal, kTies, kEqual}) {
    std::vector<SampleCase> cases;
    std::vector<QuatrainCountBefore> wanted;
    for (int i = 0; i < 12; ++i) {
      cases.push_back(RandomCase(5000, 4999, pattern, source));
      wanted.push_back({i % 4 != 3,
                        source.Of({cases[i].logits[17], -0.0f, 100.0f, -50.0f}),
                        source.Int(-10, 5010)});
    }
    const SampleBatch batch(cases);
    const DeviceArray<QuatrainCountBefore> rows(wanted);
    const DeviceArray<int32_t> counts(std::vector<int32_t>(12, 1000));
    const QuatrainCount op{batch.input(nullptr), rows.data(), counts.data()};
    CudaOk(Cuda().count_before(&op, nullptr), "count_before");
    const std::vector<int32_t> got = counts.Download();
    for (int i = 0; i < 12; ++i) {
      const int want = wanted[i].wanted
                           ? ReferenceRowKernels().CountBefore(
                                 std::span(cases[i].logits).first(4999),
                                 wanted[i].value, wanted[i].end_of_ties)
                           : 0;
      EXPECT_EQ(got[i], 1000 + want);
    }
  }
}

}  // namespace
}  // namespace quatrain
