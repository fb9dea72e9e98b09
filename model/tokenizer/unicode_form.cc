#include "model/tokenizer/unicode_form.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

const icu::Normalizer2& Instance(UnicodeForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* instance = nullptr;
  switch (form) {
    case UnicodeForm::kNfc:
      instance = icu::Normalizer2::getNFCInstance(error);
      break;
    case UnicodeForm::kNfd:
      instance = icu::Normalizer2::getNFDInstance(error);
      break;
    case UnicodeForm::kNfkc:
      instance = icu::Normalizer2::getNFKCInstance(error);
      break;
    case UnicodeForm::kNfkd:
      instance = icu::Normalizer2::getNFKDInstance(error);
      break;
  }
  CHECK(U_SUCCESS(error) && instance != nullptr) << u_errorName(error);
  return *instance;
}

bool IsMark(char32_t c) {
  return u_getIntPropertyValue(static_cast<UChar32>(c),
                               UCHAR_LEAD_CANONICAL_COMBINING_CLASS) != 0;
}

// Marks in canonical order. ICU inserts each mark into its place, which is
// quadratic in a run of unordered ones; a long run is brought into order here,
// which changes nothing else: it is what every form does first.
constexpr int kLongRun = 32;

void AppendOrdered(std::string_view run, std::string* text) {
  struct Mark {
    int combining_class;
    UChar32 value;
  };
  std::vector<Mark> marks;
  const icu::Normalizer2& nfd = Instance(UnicodeForm::kNfd);
  for (size_t i = 0; i < run.size();) {
    const CodePoint c = CodePointAt(run, i);
    i += c.length;
    icu::UnicodeString parts;
    if (!nfd.getDecomposition(c.value, parts)) parts = UChar32(c.value);
    for (int p = 0; p < parts.length(); p = parts.moveIndex32(p, 1))
      marks.push_back(
          {u_getCombiningClass(parts.char32At(p)), parts.char32At(p)});
  }
  std::stable_sort(marks.begin(), marks.end(),
                   [](const Mark& a, const Mark& b) {
                     return a.combining_class < b.combining_class;
                   });
  for (const Mark& mark : marks) AppendUtf8(mark.value, text);
}

std::string WithOrderedMarks(const std::string& text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    int length = 0;
    while (end < text.size() && static_cast<uint8_t>(text[end]) >= 0x80) {
      const CodePoint c = CodePointAt(text, end);
      if (!IsMark(c.value)) break;
      end += c.length, ++length;
    }
    const std::string_view run(text.data() + i, end - i);
    length > kLongRun ? AppendOrdered(run, &result) : void(result.append(run));
    if (end == text.size()) break;
    const int next = CodePointAt(text, end).length;
    result.append(text, end, next);
    i = end + next;
  }
  return result;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

void ToUnicodeForm(UnicodeForm form, std::string* text) {
  if (IsAscii(*text)) return;  // in every form
  const std::string ordered = WithOrderedMarks(*text);
  text->clear();
  icu::StringByteSink<std::string> sink(text);
  UErrorCode error = U_ZERO_ERROR;
  Instance(form).normalizeUTF8(0, ordered, sink, nullptr, error);
  CHECK(U_SUCCESS(error)) << u_errorName(error);
}

}  // namespace quatrain
