#include "tools/bench_kernel.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/num_cores.h"
#include "base/status_macros.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/thread_pool.h"
#include "tools/bench_weights.h"
#include "tools/memory_read.h"

namespace quatrain {
namespace {

constexpr double kSecondsPerLine = 0.8;

struct Shape {
  std::string name;
  int inputs = 0;
  int outputs = 0;
};

absl::StatusOr<Shape> ParseShape(const std::string& text) {
  for (const Shape& known :
       {Shape{"qkv", 4096, 12288}, Shape{"o", 4096, 4096},
        Shape{"up", 4096, 11008}, Shape{"down", 11008, 4096}})
    if (text == known.name) return known;
  const size_t x = text.find('x');
  Shape shape{text};
  if (x != std::string::npos &&
      absl::SimpleAtoi(text.substr(0, x), &shape.inputs) &&
      absl::SimpleAtoi(text.substr(x + 1), &shape.outputs) &&
      std::min(shape.inputs, shape.outputs) >= 1 &&
      std::max(shape.inputs, shape.outputs) <= 1 << 20)
    return shape;
  return absl::InvalidArgumentError(absl::StrCat(
      "--shapes: \"", text,
      "\", expected qkv, o, up, down or INPUTSxOUTPUTS, such as 4096x11008"));
}

struct Line {
  Shape shape;
  int rows = 0;
  double seconds = 0;  // of one product
  int64_t bytes = 0;   // of its weights
  double read = 0;     // bytes per second, the plain read
  double bytes_per_second() const { return bytes / seconds; }
  double fraction() const { return bytes_per_second() / read; }
  double gops() const {
    return 2e-9 * rows * shape.inputs * shape.outputs / seconds;
  }
};

double ProductSeconds(const Shape& shape, const WeightCopies& copies, int rows,
                      Backend& backend) {
  std::mt19937 engine(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(size_t(rows) * shape.inputs);
  for (float& value : x) value = normal(engine);
  std::vector<float> out(size_t(rows) * shape.outputs);
  const MatrixView in{x.data(), DType::kF32, rows, shape.inputs, shape.inputs};
  const MatrixView to{out.data(), DType::kF32, rows, shape.outputs,
                      shape.outputs};
  backend.Project(in, nullptr, *copies.linears[0], to);
  return BestSeconds(
      copies.linears.size(), copies.bytes_each, kSecondsPerLine,
      [&](size_t i) { backend.Project(in, nullptr, *copies.linears[i], to); });
}

void Print(const std::vector<Line>& lines, const std::string& description,
           const std::string& output) {
  const bool csv = output == "csv", json = output == "json";
  if (json)
    std::printf("{\"backend\": \"%s\", \"lines\": [", description.c_str());
  else if (csv)
    std::printf(
        "shape,inputs,outputs,rows,microseconds,bytes,gb_per_s,read_gb_per_s,"
        "fraction_of_read,gop_per_s\n");
  else if (output == "md")
    std::printf(
        "%s\n\n| shape | rows | time, us | bytes | GB/s | read, GB/s | of the "
        "read | GOP/s |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
        description.c_str());
  else
    std::printf("%s\n%-18s %5s %12s %11s %7s %7s %6s %9s\n",
                description.c_str(), "shape", "rows", "time, us", "bytes",
                "GB/s", "read", "share", "GOP/s");
  const char* separator = "";
  for (const Line& line : lines) {
    const double us = line.seconds * 1e6, gb = line.bytes_per_second() * 1e-9;
    const double read = line.read * 1e-9, share = line.fraction();
    const long long bytes = line.bytes;
    const std::string label = absl::StrCat(
        line.shape.name, " ", line.shape.inputs, "x", line.shape.outputs);
    if (json)
      std::printf(
          "%s\n{\"shape\": \"%s\", \"inputs\": %d, \"outputs\": %d, \"rows\": "
          "%d, \"microseconds\": %.2f, \"bytes\": %lld, \"gb_per_s\": %.2f, "
          "\"read_gb_per_s\": %.2f, \"fraction_of_read\": %.3f, "
          "\"gop_per_s\": %.1f}",
          separator, line.shape.name.c_str(), line.shape.inputs,
          line.shape.outputs, line.rows, us, bytes, gb, read, share,
          line.gops());
    else if (csv)
      std::printf("%s,%d,%d,%d,%.2f,%lld,%.2f,%.2f,%.3f,%.1f\n",
                  line.shape.name.c_str(), line.shape.inputs,
                  line.shape.outputs, line.rows, us, bytes, gb, read, share,
                  line.gops());
    else if (output == "md")
      std::printf("| %s | %d | %.1f | %lld | %.2f | %.2f | %.0f %% | %.1f |\n",
                  label.c_str(), line.rows, us, bytes, gb, read, share * 100,
                  line.gops());
    else
      std::printf("%-18s %5d %12.1f %11lld %7.2f %7.2f %5.0f%% %9.1f\n",
                  label.c_str(), line.rows, us, bytes, gb, read, share * 100,
                  line.gops());
    separator = ",";
  }
  if (json) std::printf("\n]}\n");
}

absl::Status Run(const BenchKernelOptions& options) {
  const std::string& output = options.output;
  if (!output.empty() && output != "md" && output != "csv" && output != "json")
    return absl::InvalidArgumentError(
        absl::StrCat("-o: \"", output, "\", expected md, csv or json"));
  std::vector<int> rows = options.rows;
  if (rows.empty()) rows = {1, 4, 16, 64, 512};
  for (const int n : rows)
    if (n < 1 || n > 1 << 16)
      return absl::InvalidArgumentError(
          absl::StrCat("--rows: ", n, ", expected 1..65536"));
  const int cores = NumCores();
  const int threads = options.threads == 0 ? cores : options.threads;
  if (threads < 1 || threads > 1024)
    return absl::InvalidArgumentError(
        absl::StrCat("--threads: ", threads, ", expected 1..1024"));
  std::vector<Shape> shapes;
  std::vector<std::string> names = options.shapes;
  if (names.empty()) names = {"qkv", "o", "up", "down"};
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(Shape shape, ParseShape(name));
    shapes.push_back(shape);
  }
  const bool spin = threads <= cores;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Backend> backend,
      MakeCpuBackend({.max_tokens = *std::max_element(rows.begin(), rows.end()),
                      .threads = threads,
                      .spin = spin,
                      .isa = options.isa}));
  ThreadPool pool(threads, spin);
  std::vector<Line> lines;
  for (const Shape& shape : shapes) {
    ASSIGN_OR_RETURN(const WeightCopies copies,
                     MakeInt4Copies(shape.inputs, shape.outputs, *backend));
    for (const int n : rows) {
      Line line{shape, n, 0, copies.bytes_each, 0};
      line.read = ReadBytesPerSecond(copies, pool, kSecondsPerLine);
      line.seconds = ProductSeconds(shape, copies, n, *backend);
      lines.push_back(line);
    }
  }
  Print(lines, backend->Description(), output);
  return absl::OkStatus();
}

}  // namespace

int BenchKernel(const BenchKernelOptions& options) {
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quatrain: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace quatrain
