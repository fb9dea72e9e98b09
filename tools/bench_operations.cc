#include <time.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/num_cores.h"
#include "base/status_macros.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/record_size.h"
#include "tools/bench_weights.h"
#include "tools/command.h"
#include "tools/memory_read.h"

// Times what a step does besides its int4 products: the head, attention, the
// norm, and how long the threads wait for each other.
namespace quatrain {
namespace {

constexpr int64_t kTotalBytes = int64_t{1} << 30;  // of K and V, rotated over
constexpr int kBlockSize = 16;
constexpr int kHeadDim = 128;

struct Line {
  std::string name;
  double seconds = 0;
  int64_t bytes = 0;  // that it must read; 0: it is not bound by reading
  double read = 0;    // bytes per second, the plain read
  double ops = 0;     // multiplications and additions
};

struct Bench {
  int threads;
  double seconds;  // of each measurement
  Backend& backend;
  ThreadPool& pool;
  std::vector<Line> lines;
};

std::vector<float> Normals(size_t n) {
  std::mt19937 engine(2);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(engine);
  return values;
}

MatrixView View(std::vector<float>& values, int rows) {
  const int cols = static_cast<int>(values.size() / rows);
  return {values.data(), DType::kF32, rows, cols, cols};
}

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

// Best of five: in CPU time of the thread that waits for the others, and, of
// twice as many threads as cores, which share them, in real time.
void Barriers(Bench& bench) {
  constexpr int kRounds = 2000;
  const auto best_of_five = [](ThreadPool& pool, double (*now)()) {
    double best = 1e30;
    for (int i = 0; i < 5; ++i) {
      const double begin = now();
      for (int round = 0; round < kRounds; ++round) pool.Run([](int) {});
      best = std::min(best, (now() - begin) / kRounds);
    }
    return best;
  };
  bench.lines.push_back({absl::StrCat("barrier of ", bench.threads, " threads"),
                         best_of_five(bench.pool, ThreadSeconds)});
  const int many = 2 * NumCores();
  ThreadPool crowd(many, /*spin=*/false);
  bench.lines.push_back({absl::StrCat("barrier of ", many, " threads on ",
                                      NumCores(), " cores, real time"),
                         best_of_five(crowd, SteadySeconds)});
}

absl::Status NormAndDigits(Bench& bench) {
  constexpr int kCols = 4096;
  const Norm norm{.weight = std::vector<float>(kCols, 1.0f)};
  std::vector<float> x = Normals(kCols), out(16);
  ASSIGN_OR_RETURN(const WeightCopies one,
                   MakeInt4Copies(kCols, 16, bench.backend, 1));
  bench.lines.push_back({"norm, digits and 16 outputs of 4096",
                         BestSeconds(1, 1 << 14, bench.seconds, [&](size_t) {
                           bench.backend.Project(View(x, 1), &norm,
                                                 *one.linears[0], View(out, 1));
                         })});
  return absl::OkStatus();
}

absl::Status Head(Bench& bench, int rows) {
  constexpr int kCols = 4096, kVocab = 32000;
  Norm norm{.weight = std::vector<float>(kCols, 1.0f)};
  ASSIGN_OR_RETURN(const WeightCopies copies,
                   MakeF16Copies(kCols, kVocab, bench.backend));
  std::vector<float> x = Normals(size_t(rows) * kCols);
  std::vector<float> logits(size_t(rows) * kVocab);
  std::vector<LogitsRow> wanted(rows);
  for (int r = 0; r < rows; ++r) wanted[r].token_index = r;
  Line line{absl::StrCat("head 4096x32000 f16, ", rows,
                         rows == 1 ? " row" : " rows")};
  line.bytes = copies.bytes_each;
  line.read = ReadBytesPerSecond(copies, bench.pool, bench.seconds);
  line.ops = 2.0 * rows * kCols * kVocab;
  line.seconds = BestSeconds(
      copies.linears.size(), copies.bytes_each, bench.seconds, [&](size_t i) {
        bench.backend.Head(View(x, rows), norm, *copies.linears[i], wanted,
                           View(logits, rows));
      });
  bench.lines.push_back(line);
  return absl::OkStatus();
}

// `sequences` of `tokens` new tokens each after `cached` others.
struct AttentionCase {
  int q_heads, kv_heads, sequences, cached, tokens;
};

// The step of a case; every sequence has blocks of its own.
struct AttentionStep {
  explicit AttentionStep(const AttentionCase& c) {
    const int keys = c.cached + c.tokens;
    blocks_each = (keys + kBlockSize - 1) / kBlockSize;
    for (int s = 0; s < c.sequences; ++s) {
      cu_seqlens.push_back(s * c.tokens);
      context_lens.push_back(keys);
      for (int b = 0; b < blocks_each; ++b)
        block_tables.push_back(s * blocks_each + b);
      for (int t = c.cached; t < keys; ++t) {
        positions.push_back(t);
        slot_mapping.push_back(int64_t{s} * blocks_each * kBlockSize + t);
      }
    }
    cu_seqlens.push_back(c.sequences * c.tokens);
    view.num_tokens = c.sequences * c.tokens;
    view.num_sequences = c.sequences;
    view.block_stride = blocks_each;
    view.positions = positions.data();
    view.slot_mapping = slot_mapping.data();
    view.cu_seqlens = cu_seqlens.data();
    view.context_lens = context_lens.data();
    view.block_tables = block_tables.data();
  }
  int blocks_each = 0;
  std::vector<int32_t> positions, cu_seqlens, context_lens, block_tables;
  std::vector<int64_t> slot_mapping;
  StepView view;
};

AttentionSpec SpecOf(const AttentionCase& c) {
  AttentionSpec spec{.num_q_heads = c.q_heads,
                     .num_kv_heads = c.kv_heads,
                     .head_dim = kHeadDim,
                     .scale = 0.088f};
  const int share = c.q_heads / c.kv_heads;
  for (int h = 0; h < c.kv_heads; ++h)
    spec.heads.push_back({h, h * share, share});
  for (int i = 0; i < kHeadDim / 2; ++i) spec.rope.inv_freq.push_back(0.01f);
  return spec;
}

absl::Status Attention(Bench& bench, const AttentionCase& c) {
  const AttentionStep step(c);
  const AttentionSpec spec = SpecOf(c);
  const int num_blocks = step.blocks_each * c.sequences;
  const int64_t bytes =
      KvLayerBytes(num_blocks, kBlockSize, c.kv_heads, kHeadDim, DType::kF16);
  const int layers =
      static_cast<int>(std::max<int64_t>(1, kTotalBytes / bytes));
  DeviceMemory memory(0);
  ASSIGN_OR_RETURN(const DeviceBuffer pool,
                   memory.Allocate(layers * bytes, "kv"));
  // f16 numbers between 2^-7 and 2^-6, touched first by who reads them.
  std::vector<ReadPiece> pieces(layers);
  for (int i = 0; i < layers; ++i)
    for (int t = 0; t < bench.threads; ++t) {
      const auto [begin, end] = bench.pool.Share(bytes / 64, t);
      pieces[i].push_back({pool.data() + i * bytes + begin * 64,
                           static_cast<size_t>(end - begin) * 64});
    }
  bench.pool.Run([&](int t) {
    for (const ReadPiece& piece : pieces)
      std::fill_n(
          reinterpret_cast<uint16_t*>(const_cast<std::byte*>(piece[t].data())),
          piece[t].size() / 2, uint16_t{0x2155});
  });
  std::vector<float> qkv = Normals(size_t(step.view.num_tokens) *
                                   (c.q_heads + 2 * c.kv_heads) * kHeadDim);
  std::vector<float> out(size_t(step.view.num_tokens) * c.q_heads * kHeadDim);
  const bool decode = c.tokens == 1;
  Line line{absl::StrCat(decode ? "decode" : "prefill", " attention, ",
                         c.q_heads, "/", c.kv_heads, " heads, ", c.sequences,
                         " x ", c.tokens, " after ", c.cached)};
  if (decode) {
    line.bytes = bytes;
    line.read = BestReadBytesPerSecond(pieces, bench.pool, bench.seconds);
  }
  const double pairs =
      c.tokens * (c.cached + (c.tokens + 1) / 2.0) * c.sequences;
  line.ops = 4.0 * pairs * c.q_heads * kHeadDim;
  line.seconds = BestSeconds(layers, bytes, bench.seconds, [&](size_t i) {
    const KvLayer kv{pool.data() + i * bytes,
                     DType::kF16,
                     num_blocks,
                     kBlockSize,
                     c.kv_heads,
                     kHeadDim};
    bench.backend.Attend(View(qkv, step.view.num_tokens), spec, step.view, kv,
                         View(out, step.view.num_tokens));
  });
  bench.lines.push_back(line);
  return absl::OkStatus();
}

absl::Status MeasureAll(Bench& bench) {
  Barriers(bench);
  RETURN_IF_ERROR(NormAndDigits(bench));
  for (const int rows : {1, 4, 16}) RETURN_IF_ERROR(Head(bench, rows));
  for (const AttentionCase& c : {AttentionCase{32, 32, 1, 1023, 1},
                                 {32, 32, 1, 4095, 1},
                                 {32, 32, 16, 1023, 1},
                                 {32, 8, 1, 4095, 1},
                                 {32, 8, 16, 1023, 1},
                                 {64, 8, 4, 4095, 1},
                                 {32, 32, 1, 0, 512},
                                 {32, 32, 1, 1536, 512},
                                 {32, 8, 1, 1536, 512}})
    RETURN_IF_ERROR(Attention(bench, c));
  return absl::OkStatus();
}

void Print(const Bench& bench) {
  std::printf(
      "%s\n\n| operation | time, us | GB/s | read, GB/s | of the read | GOP/s "
      "|\n|---|---:|---:|---:|---:|---:|\n",
      bench.backend.Description().c_str());
  for (const Line& line : bench.lines) {
    std::printf("| %s | %.1f |", line.name.c_str(), line.seconds * 1e6);
    const double speed = line.bytes / line.seconds;
    if (line.bytes > 0)
      std::printf(" %.1f | %.1f | %.0f %% |", speed * 1e-9, line.read * 1e-9,
                  100 * speed / line.read);
    else
      std::printf(" | | |");
    if (line.ops > 0)
      std::printf(" %.1f |\n", line.ops * 1e-9 / line.seconds);
    else
      std::printf(" |\n");
  }
}

int Run(int threads, const std::string& isa, double seconds) {
  if (threads == 0) threads = NumCores();
  const bool spin = threads <= NumCores();
  const auto backend = MakeCpuBackend(
      {.max_tokens = 512, .threads = threads, .spin = spin, .isa = isa});
  if (!backend.ok()) return Fail(kExitUsage, backend.status());
  ThreadPool pool(threads, spin);
  Bench bench{threads, seconds, **backend, pool, {}};
  const absl::Status status = MeasureAll(bench);
  if (!status.ok()) return Fail(ExitCodeOf(status), status);
  Print(bench);
  return kExitOk;
}

}  // namespace

RunCommand AddBenchOperations(CLI::App& app) {
  struct Flags {
    int threads = 0;
    std::string isa;
    double seconds = 0.8;
  };
  auto f = std::make_shared<Flags>();
  app.add_option("--threads", f->threads, "0: one per core")
      ->check(CLI::Range(0, 1024));
  app.add_option("--isa", f->isa, "force an instruction set");
  app.add_option("--seconds", f->seconds, "of each measurement; default 0.8")
      ->check(CLI::Range(0.001, 3600.0));
  return [f] { return Run(f->threads, f->isa, f->seconds); };
}

}  // namespace quatrain
