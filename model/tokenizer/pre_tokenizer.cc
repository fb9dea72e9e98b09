#include "model/tokenizer/pre_tokenizer.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/scanners.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

// Applies one step to all pieces. Pieces made of new text go to storage.
class Cutter {
 public:
  explicit Cutter(Pieces* pieces) : pieces_(pieces) {}

  absl::Status Run(const PreTokenizerStep& step) {
    std::vector<Piece> before;
    before.swap(pieces_->list);
    pieces_->list.reserve(before.size());
    for (const Piece& piece : before) {
      RETURN_IF_ERROR(
          std::visit([&](const auto& s) { return Cut(s, piece); }, step));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Cut(const ByteLevelStep& step, Piece piece) {
    if (step.add_prefix_space && !piece.text.starts_with(' '))
      piece.text = Store(std::string(" ").append(piece.text));
    if (!step.use_regex) {
      Keep(piece);
      return absl::OkStatus();
    }
    static const std::unique_ptr<SplitPattern> gpt2 =
        *RegexPattern(std::string(kGpt2Pattern));
    matches_.clear();
    RETURN_IF_ERROR(gpt2->FindAll(piece.text, &matches_));
    KeepSplit(piece, false, SplitBehavior::kIsolated);
    return absl::OkStatus();
  }

  absl::Status Cut(const SplitStep& step, const Piece& piece) {
    matches_.clear();
    RETURN_IF_ERROR(step.pattern->FindAll(piece.text, &matches_));
    KeepSplit(piece, step.invert, step.behavior);
    return absl::OkStatus();
  }

  absl::Status Cut(const CharSplitStep& step, const Piece& piece) {
    matches_.clear();
    for (size_t i = 0; i < piece.text.size();) {
      const CodePoint c = CodePointAt(piece.text, i);
      const size_t end = i + c.length;
      if (step.classes != 0 ? (CharClasses(c.value) & step.classes) != 0
                            : c.value == step.value)
        matches_.push_back({i, end});
      i = end;
    }
    KeepSplit(piece, false, step.behavior);
    return absl::OkStatus();
  }

  absl::Status Cut(const WordsStep&, const Piece& piece) {
    const auto kind = [](char32_t c) {
      const uint8_t classes = CharClasses(c);
      return classes & kWord ? 1 : classes & kWhiteSpace ? 0 : 2;
    };
    size_t begin = 0;
    int last = 0;
    for (size_t i = 0; i < piece.text.size();) {
      const CodePoint c = CodePointAt(piece.text, i);
      if (const int now = kind(c.value); now != last) {
        if (last != 0) KeepPart(piece, begin, i);
        begin = i, last = now;
      }
      i += c.length;
    }
    if (last != 0) KeepPart(piece, begin, piece.text.size());
    return absl::OkStatus();
  }

  absl::Status Cut(const MetaspaceStep& step, Piece piece) {
    std::string text;
    text.reserve(piece.text.size() * 3 / 2);
    for (const char c : piece.text)
      c == ' ' ? text.append(step.replacement) : text.append(1, c);
    const bool prepend =
        step.prepend == PrependScheme::kAlways ||
        (step.prepend == PrependScheme::kFirst && piece.at_start);
    if (prepend && !text.empty() && !text.starts_with(step.replacement))
      text.insert(0, step.replacement);
    piece.text = Store(std::move(text));
    if (!step.split) {
      Keep(piece);
      return absl::OkStatus();
    }
    matches_.clear();
    RETURN_IF_ERROR(
        LiteralPattern(step.replacement)->FindAll(piece.text, &matches_));
    KeepSplit(piece, false, SplitBehavior::kMergedWithNext);
    return absl::OkStatus();
  }

  std::string_view Store(std::string text) {
    return pieces_->storage.emplace_back(std::move(text));
  }
  void Keep(const Piece& piece) {
    if (!piece.text.empty()) pieces_->list.push_back(piece);
  }
  void KeepPart(const Piece& piece, size_t begin, size_t end) {
    Keep({piece.text.substr(begin, end - begin), piece.at_start && begin == 0});
  }
  void KeepSplit(const Piece& piece, bool invert, SplitBehavior behavior) {
    parts_.clear();
    SplitByMatches(piece.text.size(), matches_, invert, behavior, &parts_);
    for (const auto& [begin, end] : parts_) KeepPart(piece, begin, end);
  }

  Pieces* pieces_;
  std::vector<MatchRange> matches_, parts_;  // reused
};

// Replaces each piece by `map` of it.
template <typename Map>
void MapPieces(Pieces* pieces, const Map& map) {
  for (Piece& piece : pieces->list)
    piece.text = pieces->storage.emplace_back(map(piece.text));
}

}  // namespace

PreTokenizer PreTokenizer::FromSteps(std::vector<PreTokenizerStep> steps) {
  PreTokenizer result;
  result.steps_ = std::move(steps);
  for (const PreTokenizerStep& step : result.steps_)
    if (std::holds_alternative<ByteLevelStep>(step)) result.byte_level_ = true;
  return result;
}

absl::Status PreTokenizer::Cut(std::string_view text, bool at_start,
                               Pieces* pieces) const {
  pieces->list.clear();
  if (!text.empty()) pieces->list.push_back({text, at_start});
  bool mapped = false;
  for (const PreTokenizerStep& step : steps_) {
    RETURN_IF_ERROR(Cutter(pieces).Run(step));
    // Steps after ByteLevel see its alphabet; if there is none, mapping there
    // and back would change nothing.
    if (std::holds_alternative<ByteLevelStep>(step) &&
        &step != &steps_.back()) {
      MapPieces(pieces, ToByteLevel);
      mapped = true;
    }
  }
  if (mapped) {
    MapPieces(pieces, [](std::string_view piece) {
      std::optional<std::string> bytes = FromByteLevel(piece);
      CHECK(bytes.has_value()) << "a step after ByteLevel changed its text";
      return *std::move(bytes);
    });
  }
  return absl::OkStatus();
}

}  // namespace quatrain
