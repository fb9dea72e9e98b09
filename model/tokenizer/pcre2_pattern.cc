#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "model/tokenizer/regex_dialect.h"
#include "model/tokenizer/split_pattern.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

// Per match. Real patterns stay far below; a pattern that does not is refused
// for that one text.
constexpr uint32_t kMatchLimit = 50'000'000;  // backtracking steps
constexpr uint32_t kDepthLimit = 100'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kMaxRegexBytes = 64 * 1024;

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

std::string Message(int error) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(error, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

class Pcre2 : public SplitPattern {
 public:
  Pcre2(std::string regex, pcre2_code* code)
      : regex_(std::move(regex)),
        code_(code),
        context_(pcre2_match_context_create(nullptr)) {
    CHECK(context_ != nullptr) << "out of memory";
    pcre2_set_match_limit(context_.get(), kMatchLimit);
    pcre2_set_depth_limit(context_.get(), kDepthLimit);
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  absl::Status FindAll(std::string_view text,
                       std::vector<MatchRange>* matches) const override {
    // Of this thread, for any pattern: a text may be a million pieces.
    thread_local const std::unique_ptr<pcre2_match_data, Free> data(
        pcre2_match_data_create(1, nullptr));
    CHECK(data != nullptr) << "out of memory";
    size_t last_end = std::string_view::npos;
    for (size_t from = 0; from <= text.size();) {
      const int result = Match(text, from, data.get());
      if (result == PCRE2_ERROR_NOMATCH) break;
      if (result < 0) return OutOfLimits(result, text.size());
      const size_t* range = pcre2_get_ovector_pointer(data.get());
      const bool empty_again = range[0] == range[1] && range[1] == last_end;
      if (!empty_again) matches->push_back({range[0], range[1]});
      // No second empty match where the last match ended.
      last_end = from = range[1];
      if (empty_again) {
        if (from == text.size()) break;
        from += CodePointAt(text, from).length;
      }
    }
    return absl::OkStatus();
  }

 private:
  int Match(std::string_view text, size_t from, pcre2_match_data* data) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int result = pcre2_match(code_.get(), subject, text.size(), from,
                             PCRE2_NO_UTF_CHECK, data, context_.get());
    // The machine code has a small stack; the interpreter uses the heap.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
      result =
          pcre2_match(code_.get(), subject, text.size(), from,
                      PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context_.get());
    }
    return result;
  }

  absl::Status OutOfLimits(int error, size_t text_bytes) const {
    return absl::ResourceExhaustedError(
        absl::StrCat("tokenizer pattern \"", regex_.substr(0, 100), "\" on ",
                     text_bytes, " bytes of text: ", Message(error)));
  }

  std::string regex_;
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_context, Free> context_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SplitPattern>> Pcre2Pattern(
    const std::string& regex) {
  if (regex.size() > kMaxRegexBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "regex of ", regex.size(), " bytes, at most ", kMaxRegexBytes));
  }
  ASSIGN_OR_RETURN(const std::string pattern, Pcre2FromOniguruma(regex));
  int error = 0;
  size_t offset = 0;
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
      &offset, nullptr);
  if (code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("regex \"", regex.substr(0, 200), "\": ", Message(error),
                     " at byte ", offset));
  }
  // Without it (no executable memory) the interpreter gives the same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return std::make_unique<Pcre2>(regex, code);
}

}  // namespace quatrain
