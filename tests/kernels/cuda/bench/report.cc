#include "tests/kernels/cuda/bench/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <map>

namespace quatrain::bench {
namespace {

std::string Format(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

std::string Format(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

double OfFloor(const Bench& bench, const Row& row) {
  return bench.Floor(row.work) / row.times.median;
}
double OfCublas(const Row& row) { return row.cublas_us / row.times.median; }

struct Target {
  const char* of;
  double wanted, reached;
  bool met() const { return reached >= wanted; }
};

std::vector<Target> TargetsOf(const Bench& bench, const Row& row) {
  std::vector<Target> targets;
  if (row.wanted_floor > 0)
    targets.push_back({"floor", row.wanted_floor, OfFloor(bench, row)});
  if (row.wanted_cublas > 0 && row.cublas_us > 0)
    targets.push_back({"cuBLAS", row.wanted_cublas, OfCublas(row)});
  return targets;
}

std::string TargetText(const Bench& bench, const Row& row) {
  std::string text;
  for (const Target& target : TargetsOf(bench, row))
    text +=
        Format("%s%s %.0f %% of %s", text.empty() ? "" : ", ",
               target.met() ? "pass" : "FAIL", 100 * target.wanted, target.of);
  return text;
}

bool IsMemoryBound(const Bench& bench, const Row& row) {
  Work bytes = row.work;
  bytes.operations = 0;
  return bench.Floor(bytes) >= bench.Floor(row.work);
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
  }
  return quoted + '"';
}

// A JSON object of numbers and texts, in the order they come.
class Object {
 public:
  Object& Text(const char* key, const std::string& value) {
    return Raw(key, Quoted(value));
  }
  Object& Number(const char* key, double value) {
    return Raw(key, Format("%.6g", value));
  }
  Object& Whole(const char* key, long long value) {
    return Raw(key, Format("%lld", value));
  }
  Object& Raw(const char* key, const std::string& value) {
    text_ += (text_.empty() ? "" : ", ") + Quoted(key) + ": " + value;
    return *this;
  }
  std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string RowObject(const Bench& bench, const Row& row) {
  Object object;
  object.Text("group", row.group)
      .Text("kernel", row.kernel)
      .Text("shape", row.shape)
      .Whole("tokens", row.tokens)
      .Raw("exact", row.exact ? "true" : "false")
      .Number("bytes", row.work.bytes)
      .Number("operations", row.work.operations);
  if (bench.options().smoke) return object.text();
  object.Number("us", row.times.median)
      .Number("us_p10", row.times.p10)
      .Number("us_p90", row.times.p90)
      .Whole("launches", row.times.launches)
      .Whole("replays", row.times.replays)
      .Number("floor_us", bench.Floor(row.work))
      .Number("of_floor", OfFloor(bench, row))
      .Text("bound", IsMemoryBound(bench, row) ? "memory" : "operations");
  if (const double spec = bench.SpecFloor(row.work); spec > 0)
    object.Number("of_spec_floor", spec / row.times.median);
  if (row.cublas_us > 0)
    object.Number("cublas_us", row.cublas_us)
        .Number("of_cublas", OfCublas(row));
  for (const Target& target : TargetsOf(bench, row))
    object.Number(target.of[0] == 'f' ? "wanted_of_floor" : "wanted_of_cublas",
                  target.wanted);
  if (row.times.hurried) object.Raw("hurried", "true");
  return object.text();
}

template <typename T, typename F>
std::string List(const std::vector<T>& values, F text) {
  std::string list;
  for (const T& value : values)
    list += (list.empty() ? "" : ",\n  ") + text(value);
  return "[\n  " + list + "\n]";
}

// Of the rows that do the same: the fastest, and how much slower the next is.
void PrintFastest(const Bench& bench, bool exact) {
  struct Fastest {
    const Row* best = nullptr;
    double next = 0;  // microseconds
  };
  std::map<std::string, std::map<int, Fastest>> shapes;
  for (const Row& row : bench.rows()) {
    // The others have no kernels but exact ones.
    if (exact ? row.group.rfind("int4", 0) != 0 || !row.exact
              : row.group != "int4")
      continue;
    Fastest& fastest = shapes[row.group + ", " + row.shape][row.tokens];
    const double us = row.whole_us();
    if (fastest.best == nullptr || us < fastest.best->whole_us()) {
      fastest.next = fastest.best == nullptr ? 0 : fastest.best->whole_us();
      fastest.best = &row;
    } else if (fastest.next == 0 || us < fastest.next) {
      fastest.next = us;
    }
  }
  if (shapes.empty()) return;
  std::printf("\nFastest %skernel, and how many times longer the next takes\n",
              exact ? "exact " : "");
  for (const auto& [shape, by_tokens] : shapes) {
    std::printf("| %-32s |", shape.c_str());
    for (const auto& [tokens, fastest] : by_tokens) {
      std::printf(" %d %s", tokens, fastest.best->kernel.c_str());
      if (fastest.next > 0)
        std::printf(" %.2f", fastest.next / fastest.best->whole_us());
      std::printf(" |");
    }
    std::printf("\n");
  }
}

}  // namespace

void PrintMachine(const Bench& bench, const Machine& machine) {
  const QuatrainDeviceInfo& device = bench.device();
  std::printf("%s, compute capability %d.%d, %d multiprocessors, %.0f MB of L2",
              device.name, device.compute_capability / 10,
              device.compute_capability % 10, device.num_sms,
              device.l2_bytes / 1e6);
  std::printf("; driver %s, CUDA %d.%d, cuBLAS %s; commit %s; %s\n",
              machine.driver.c_str(), machine.cuda / 1000,
              machine.cuda / 10 % 100,
              machine.cublas.empty() ? "none" : machine.cublas.c_str(),
              bench.options().commit.c_str(), machine.date.c_str());
  if (bench.options().smoke) return;
  const Ceilings& ceilings = bench.ceilings();
  std::printf("Memory: read %.3f TB/s (%s), copy %.3f TB/s",
              ceilings.read / 1e12, ceilings.read_shape.c_str(),
              ceilings.copy / 1e12);
  if (ceilings.spec_bandwidth > 0)
    std::printf("; data sheet %.3f TB/s", ceilings.spec_bandwidth / 1e12);
  std::printf(".\nf16 products: ");
  if (ceilings.f16 > 0)
    std::printf("cuBLAS 8192^3 %.0f TFLOP/s; ", ceilings.f16 / 1e12);
  std::printf("data sheet %.0f. f32 by the clock %.1f TFLOP/s.\n",
              ceilings.spec_f16 / 1e12, ceilings.f32 / 1e12);
  std::printf(
      "Floors take the %s; int8 counts twice f16's rate. us: median of one "
      "launch\nin a graph, p10..p90 over replays; n: launches x replays.\n",
      ceilings.read > 0 ? "measured read and f16 rates" : "data sheet");
}

void PrintHead(const std::string& group) {
  std::printf("\n%s\n", group.c_str());
  std::printf(
      "| kernel                        | shape                      |    M |"
      "        us |       p10..p90 |       MB |  floor us | bound | floor |"
      "  spec | cuBLAS |     n | target\n"
      "|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---\n");
}

void PrintRow(const Bench& bench, const Row& row) {
  std::printf("| %-29s | %-26s | %4d |", row.kernel.c_str(), row.shape.c_str(),
              row.tokens);
  if (bench.options().smoke) {
    std::printf(" runs\n");
    std::fflush(stdout);
    return;
  }
  const double spec = bench.SpecFloor(row.work);
  std::printf(
      " %9.2f | %6.1f..%6.1f | %8.2f | %9.2f | %-5s | %3.0f %% | %5s | %6s |"
      " %5s | %s\n",
      row.times.median, row.times.p10, row.times.p90, row.work.bytes / 1e6,
      bench.Floor(row.work), IsMemoryBound(bench, row) ? "bytes" : "ops",
      100 * OfFloor(bench, row),
      spec > 0 ? Format("%3.0f %%", 100 * spec / row.times.median).c_str()
               : "-",
      row.cublas_us > 0 ? Format("%.2f", OfCublas(row)).c_str() : "-",
      Format("%dx%d%s", row.times.launches, row.times.replays,
             row.times.hurried ? "!" : "")
          .c_str(),
      TargetText(bench, row).c_str());
  std::fflush(stdout);
}

void PrintTargets(const Bench& bench) {
  int met = 0, all = 0, unjudged = 0, hurried = 0;
  std::string missed;
  for (const Row& row : bench.rows()) {
    hurried += row.times.hurried;
    unjudged += row.wanted_cublas > 0 && row.cublas_us == 0;
    for (const Target& target : TargetsOf(bench, row)) {
      ++all;
      if (target.met()) {
        ++met;
        continue;
      }
      missed += Format("  %s, %s, M %d: %.1f %% of %s, wanted %.0f %%\n",
                       row.kernel.c_str(), row.shape.c_str(), row.tokens,
                       100 * target.reached, target.of, 100 * target.wanted);
    }
  }
  std::printf("\ntargets: %d of %d met\n%s", met, all, missed.c_str());
  if (unjudged > 0)
    std::printf("%d more, beside cuBLAS, are not judged: it is not installed\n",
                unjudged);
  if (hurried > 0)
    std::printf(
        "%d rows, marked !, were measured with few repetitions: the "
        "%.0f seconds were over.\n",
        hurried, bench.options().seconds);
}

void PrintChoice(const Bench& bench) {
  PrintFastest(bench, true);
  PrintFastest(bench, false);
}

void PrintSlowdown(const Bench& bench) {
  struct Best {
    double exact = 0, other = 0;  // microseconds; 0: no such kernel
  };
  std::map<std::string, std::map<int, Best>> tasks;
  for (const Row& row : bench.rows()) {
    if (row.task.empty() || row.group.find("with digits") != std::string::npos)
      continue;
    Best& best =
        tasks[row.group + " " + row.task + ", " + row.shape][row.tokens];
    double& us = row.exact ? best.exact : best.other;
    if (us == 0 || row.whole_us() < us) us = row.whole_us();
  }
  std::printf("\n--deterministic: time over that of the default mode\n");
  for (const auto& [task, by_tokens] : tasks) {
    std::string cells;
    for (const auto& [tokens, best] : by_tokens)
      if (best.exact > 0 && best.other > 0)
        cells += Format(" %d %.2f |", tokens,
                        best.exact / std::min(best.exact, best.other));
    if (!cells.empty())
      std::printf("| %-40s |%s\n", task.c_str(), cells.c_str());
  }
}

bool WriteJson(const Bench& bench, const Machine& machine) {
  if (bench.options().json.empty()) return true;
  const QuatrainDeviceInfo& device = bench.device();
  const Ceilings& ceilings = bench.ceilings();
  Object object;
  object.Text("device", device.name)
      .Whole("compute_capability", device.compute_capability)
      .Whole("num_sms", device.num_sms)
      .Whole("l2_bytes", static_cast<long long>(device.l2_bytes))
      .Text("driver", machine.driver)
      .Whole("cuda", machine.cuda)
      .Text("cublas", machine.cublas)
      .Text("commit", bench.options().commit)
      .Text("date", machine.date)
      .Text("mode", bench.options().smoke   ? "smoke"
                    : bench.options().quick ? "quick"
                                            : "full")
      .Number("seconds", bench.Seconds())
      .Number("read_bytes_per_s", ceilings.read)
      .Number("copy_bytes_per_s", ceilings.copy)
      .Number("spec_bytes_per_s", ceilings.spec_bandwidth)
      .Number("f16_flops", ceilings.f16)
      .Number("spec_f16_flops", ceilings.spec_f16)
      .Number("f32_flops", ceilings.f32)
      .Whole("wrong_results", bench.num_wrong())
      .Raw("clocks", List(machine.clocks, Quoted))
      .Raw("rows", List(bench.rows(),
                        [&](const Row& row) { return RowObject(bench, row); }));
  std::FILE* file = std::fopen(bench.options().json.c_str(), "w");
  if (file == nullptr ||
      std::fprintf(file, "%s\n", object.text().c_str()) < 0 ||
      std::fclose(file) != 0) {
    std::fprintf(stderr, "%s cannot be written\n",
                 bench.options().json.c_str());
    return false;
  }
  return true;
}

}  // namespace quatrain::bench
