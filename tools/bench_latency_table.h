#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quatrain {

// One line of `quatrain bench latency`, in the shape of AutoAWQ's tables.
struct LatencyLine {
  int batch_size = 0;
  int prefill_length = 0;  // tokens of each prompt
  int decode_length = 0;   // tokens drawn for each
  double prefill_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
  int64_t memory_bytes = 0;  // anonymous, of the ranks' process
  int64_t decode_bytes = 0;  // that a decode step reads: weights, keys, values
  double read_bytes_per_s = 0;  // a plain read of memory, before and after
  double prefill_ops = 0;       // of the linears, for a token

  double decode_bytes_per_s() const {
    return decode_bytes * decode_tokens_per_s / batch_size;
  }
  // Of the time that reading alone would take.
  double decode_share() const {
    return decode_bytes_per_s() / read_bytes_per_s;
  }
  double prefill_gops() const {
    return prefill_ops * prefill_tokens_per_s * 1e-9;
  }
};

// As markdown, csv or json ("md", "csv", "json"); `title` says what was run.
std::string LatencyTable(const std::vector<LatencyLine>& lines,
                         const std::string& title, const std::string& format);

}  // namespace quatrain
