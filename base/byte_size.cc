#include "base/byte_size.h"

#include <cctype>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 60;
constexpr std::string_view kPrefixes = "KMGT";

absl::Status Wrong(std::string_view text, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text.substr(0, 40)), "\" ", why));
}

char Upper(char c) { return std::toupper(static_cast<unsigned char>(c)); }

// Bytes of a unit as the grammar spells it, or 0: "KiB", "gIB", "GB", "gB"...
int64_t UnitBytes(std::string_view unit) {
  if (unit.size() < 2 || unit.size() > 3 || unit.back() != 'B') return 0;
  const size_t prefix = kPrefixes.find(Upper(unit[0]));
  if (prefix == std::string_view::npos) return 0;
  if (unit.size() == 3 && Upper(unit[1]) != 'I') return 0;
  // KB, MB, GB, TB are spelled in capitals only.
  if (unit.size() == 2 && unit[0] != kPrefixes[prefix]) return 0;
  int64_t bytes = 1;
  for (size_t i = 0; i <= prefix; ++i) bytes *= unit.size() == 3 ? 1024 : 1000;
  return bytes;
}

// What somebody who wrote `number` and this unknown unit may have meant.
std::string Proposal(std::string_view number, std::string_view unit) {
  const size_t prefix =
      unit.empty() ? std::string_view::npos : kPrefixes.find(Upper(unit[0]));
  const std::string n =
      number.empty() ? std::string("40") : std::string(number);
  const std::string p(
      1, prefix == std::string_view::npos ? 'G' : kPrefixes[prefix]);
  return absl::StrCat("write ", n, p, "iB (powers of 1024) or ", n, p,
                      "B (powers of 1000)");
}

absl::Status UnknownUnit(std::string_view text, std::string_view number,
                         std::string_view unit) {
  const std::string proposal = Proposal(number, unit);
  if (unit.find_first_of(" \t") != std::string_view::npos)
    return Wrong(text, absl::StrCat("has a blank inside: ", proposal));
  if (unit.size() == 2 && Upper(unit[1]) == 'B' &&
      kPrefixes.find(Upper(unit[0])) != std::string_view::npos) {
    return Wrong(text, absl::StrCat("could mean bits or bytes: ", proposal));
  }
  return Wrong(text, absl::StrCat("has no unit that is known: ", proposal));
}

// `digits` as an integer, saturating above what the caller refuses anyway.
__int128 Digits(std::string_view digits) {
  __int128 value = 0;
  for (const char c : digits) {
    value = value * 10 + (c - '0');
    if (value > (__int128{1} << 100)) return __int128{1} << 100;
  }
  return value;
}

// floor(0.fraction * unit), in integers: a double would round 39.9999.. up.
int64_t FractionBytes(std::string_view fraction, int64_t unit) {
  __int128 numerator = 0, denominator = 1;
  for (const char c : fraction.substr(0, 18)) {
    numerator = numerator * 10 + (c - '0');
    denominator *= 10;
  }
  return static_cast<int64_t>(numerator * unit / denominator);
}

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<int64_t> ParseByteSize(std::string_view text) {
  if (text.empty())
    return Wrong(text, absl::StrCat("is no size: ", Proposal("", "")));
  if (text[0] == '-') return Wrong(text, "is negative: a size is 0 or more");
  const size_t number_end = text.find_first_not_of("0123456789.");
  const std::string_view number = text.substr(0, number_end);
  const std::string_view unit =
      number_end == std::string_view::npos ? "" : text.substr(number_end);
  const size_t dot = number.find('.');
  const std::string_view whole = number.substr(0, dot);
  const std::string_view fraction =
      dot == std::string_view::npos ? "" : number.substr(dot + 1);
  if (!AllDigits(whole) ||
      (dot != std::string_view::npos && !AllDigits(fraction))) {
    return Wrong(text, absl::StrCat("is no size: ", Proposal("", unit)));
  }
  const int64_t unit_bytes = unit.empty() ? 1 : UnitBytes(unit);
  if (unit_bytes == 0) return UnknownUnit(text, number, unit);
  if (unit.empty() && !fraction.empty())
    return Wrong(text, absl::StrCat("has no unit: ", Proposal(number, "")));
  const __int128 bytes =
      Digits(whole) * unit_bytes + FractionBytes(fraction, unit_bytes);
  if (bytes > kMaxBytes)
    return Wrong(text,
                 "is too large: the largest size is 1048576TiB (2^60 bytes)");
  return static_cast<int64_t>(bytes);
}

std::string FormatByteSize(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes) / 1024;
  size_t prefix = 0;
  // 1023.995 would print as 1024.00.
  for (; value >= 1023.995 && prefix + 1 < kPrefixes.size(); ++prefix)
    value /= 1024;
  char text[40];
  std::snprintf(text, sizeof(text), "%.2f %ciB", value, kPrefixes[prefix]);
  return text;
}

}  // namespace quatrain
