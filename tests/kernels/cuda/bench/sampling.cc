// Drawing the next token of some rows of logits: the largest one, and by chance
// without and with the filters; with and without log-probabilities.

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

struct Kind {
  const char* name;
  float temperature;
  int top_k;
  float top_p;
  int top_logprobs;
};
constexpr Kind kKinds[] = {
    {"greedy", 0.0f, 0, 1.0f, 0},
    {"greedy, 5 logprobs", 0.0f, 0, 1.0f, 5},
    {"temperature", 0.8f, 0, 1.0f, 0},
    {"top_p 0.95", 0.8f, 0, 0.95f, 0},
    {"top_k 40, top_p 0.95", 0.8f, 40, 0.95f, 0},
};

class Sampling {
 public:
  Sampling(Bench& bench, int num_ids, int most_rows)
      : bench_(bench),
        num_ids_(num_ids),
        logits_(RandomF32(static_cast<size_t>(most_rows) * num_ids, 8.0f, 81,
                          bench.stream())),
        scratch_(
            DeviceArray<unsigned char>(ScratchBytes() * most_rows).Cleared()),
        out_(most_rows) {
    DeviceArray<int>::Synchronize();
  }

  void Run(const Kind& kind, int num_rows) {
    const DeviceArray<QuatrainSampleRow> rows(Rows(kind, num_rows));
    const QuatrainSample op{
        {logits_.data(), nullptr, num_ids_, nullptr, rows.data(), num_rows, 0,
         num_ids_, num_ids_, scratch_.data()},
        out_.data()};
    Row row{"sampling",
            kind.name,
            std::to_string(num_ids_) + " ids",
            num_rows,
            {4.0 * num_rows * num_ids_}};
    row.times = bench_.Measure(
        [&](int) { CudaOk(Cuda().sample(&op, bench_.stream()), "sample"); }, 1);
    bench_.Add(std::move(row));
  }

 private:
  size_t ScratchBytes() const {
    size_t bytes = 0;
    CudaOk(Cuda().sample_scratch_bytes(num_ids_, &bytes),
           "sample_scratch_bytes");
    return bytes;
  }

  static std::vector<QuatrainSampleRow> Rows(const Kind& kind, int num_rows) {
    std::vector<QuatrainSampleRow> rows(num_rows);
    for (int r = 0; r < num_rows; ++r) {
      QuatrainSampleRow& row = rows[r];
      row.seed = 90 + r;
      row.position = 100 + r;
      row.kind = kQuatrainDrawRow;
      row.temperature = kind.temperature;
      row.top_k = kind.top_k;
      row.top_p = kind.top_p;
      row.repetition_penalty = 1.0f;
      row.logprobs = kind.top_logprobs > 0;
      row.top_logprobs = kind.top_logprobs;
    }
    return rows;
  }

  Bench& bench_;
  int num_ids_;
  DeviceArray<float> logits_;
  DeviceArray<unsigned char> scratch_;
  DeviceArray<QuatrainSampled> out_;
};

}  // namespace

void BenchSampling(Bench& bench, Cublas*) {
  const std::vector<int> rows = bench.Pick({1, 32, 128}, {1, 32}, {1, 2});
  PrintHead("Sampling: the head wrote the logits just before");
  for (const int ids : bench.Pick({32000, 128256}, {32000, 128256}, {640})) {
    Sampling sampling(bench, ids, rows.back());
    for (const Kind& kind : kKinds)
      for (const int count : rows) sampling.Run(kind, count);
  }
}

}  // namespace quatrain::bench
