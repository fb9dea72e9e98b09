#include "tools/bench_latency_table.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace quatrain {
namespace {

constexpr char kMarkdownHead[] =
    "| Batch Size | Prefill Length | Decode Length | Prefill tokens/s | Decode "
    "tokens/s | Memory, GiB | Prefill GOP/s | Decode GB/s | Read GB/s | Share "
    "of "
    "the read |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";

constexpr char kCsvHead[] =
    "batch_size,prefill_length,decode_length,prefill_tokens_per_s,"
    "decode_tokens_per_s,memory_bytes,prefill_gop_per_s,decode_gb_per_s,"
    "read_gb_per_s,share_of_read\n";

std::string Markdown(const LatencyLine& line) {
  return absl::StrFormat(
      "| %d | %d | %d | %.1f | %.2f | %.2f | %.0f | %.2f | %.2f | %.0f %% |\n",
      line.batch_size, line.prefill_length, line.decode_length,
      line.prefill_tokens_per_s, line.decode_tokens_per_s,
      line.memory_bytes / 1073741824.0, line.prefill_gops(),
      line.decode_bytes_per_s() * 1e-9, line.read_bytes_per_s * 1e-9,
      line.decode_share() * 100);
}

std::string Csv(const LatencyLine& line) {
  return absl::StrFormat("%d,%d,%d,%.2f,%.3f,%d,%.1f,%.3f,%.3f,%.4f\n",
                         line.batch_size, line.prefill_length,
                         line.decode_length, line.prefill_tokens_per_s,
                         line.decode_tokens_per_s, line.memory_bytes,
                         line.prefill_gops(), line.decode_bytes_per_s() * 1e-9,
                         line.read_bytes_per_s * 1e-9, line.decode_share());
}

std::string Json(const LatencyLine& line) {
  return absl::StrFormat(
      "{\"batch_size\": %d, \"prefill_length\": %d, \"decode_length\": %d, "
      "\"prefill_tokens_per_s\": %.2f, \"decode_tokens_per_s\": %.3f, "
      "\"memory_bytes\": %d, \"prefill_gop_per_s\": %.1f, "
      "\"decode_gb_per_s\": %.3f, \"read_gb_per_s\": %.3f, "
      "\"share_of_read\": %.4f}",
      line.batch_size, line.prefill_length, line.decode_length,
      line.prefill_tokens_per_s, line.decode_tokens_per_s, line.memory_bytes,
      line.prefill_gops(), line.decode_bytes_per_s() * 1e-9,
      line.read_bytes_per_s * 1e-9, line.decode_share());
}

// In quotes; titles hold no control characters.
std::string JsonText(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string LatencyTable(const std::vector<LatencyLine>& lines,
                         const std::string& title, const std::string& format) {
  std::string out;
  if (format == "json") {
    std::vector<std::string> rows;
    for (const LatencyLine& line : lines) rows.push_back(Json(line));
    return absl::StrCat("{\"title\": ", JsonText(title), ", \"lines\": [\n",
                        absl::StrJoin(rows, ",\n"), "\n]}\n");
  }
  const bool csv = format == "csv";
  out = csv ? kCsvHead : absl::StrCat(title, "\n\n", kMarkdownHead);
  for (const LatencyLine& line : lines) out += csv ? Csv(line) : Markdown(line);
  return out;
}

}  // namespace quatrain
