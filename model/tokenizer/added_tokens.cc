#include "model/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/status_macros.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

bool IsWordAt(std::string_view text, size_t position) {
  return CharClasses(CodePointAt(text, position).value) & kWord;
}

bool IsWholeWord(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && (CharClasses(CodePointBefore(text, begin).value) & kWord))
    return false;
  return end == text.size() || !IsWordAt(text, end);
}

// Where the white space that ends at `position` begins, not before `limit`.
size_t SkipSpaceBack(std::string_view text, size_t position, size_t limit) {
  while (position > limit) {
    const CodePoint c = CodePointBefore(text, position);
    if (!(CharClasses(c.value) & kWhiteSpace)) break;
    position -= c.length;
  }
  return std::max(position, limit);
}

// Finds the ends of runs of white space, reading no run twice.
class SpaceRuns {
 public:
  explicit SpaceRuns(std::string_view text) : text_(text) {}

  size_t EndFrom(size_t position) {
    if (begin_ <= position && position <= end_) return end_;
    begin_ = end_ = position;
    while (end_ < text_.size()) {
      const CodePoint c = CodePointAt(text_, end_);
      if (!(CharClasses(c.value) & kWhiteSpace)) break;
      end_ += c.length;
    }
    return end_;
  }

 private:
  std::string_view text_;
  size_t begin_ = 1, end_ = 0;  // the last run asked for; none yet
};

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token, std::string_view pattern) {
  if (pattern.empty()) return;  // nothing is left of it to look for
  int32_t node = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      auto& children = nodes_[node].children;
      children.insert(std::lower_bound(children.begin(), children.end(),
                                       std::pair(byte, int32_t{0})),
                      {byte, child});
      if (node == 0) first_[byte] = child;
    }
    node = child;
  }
  if (nodes_[node].token >= 0) return;  // equal once normalized: the first
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

int32_t AddedTokenMatcher::Child(int32_t node, uint8_t byte) const {
  const auto& children = nodes_[node].children;
  const auto found = std::lower_bound(children.begin(), children.end(),
                                      std::pair(byte, int32_t{0}));
  return found != children.end() && found->first == byte ? found->second : -1;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::Longest(
    std::string_view text, size_t begin) const {
  std::optional<Match> longest;
  int32_t node = first_[static_cast<uint8_t>(text[begin])];
  for (size_t end = begin + 1; node >= 0; ++end) {
    if (nodes_[node].token >= 0)
      longest = Match{begin, end, &tokens_[nodes_[node].token]};
    if (end == text.size()) break;
    node = Child(node, static_cast<uint8_t>(text[end]));
  }
  return longest;
}

std::vector<Stretch> AddedTokenMatcher::Cut(std::string_view text) const {
  std::vector<Stretch> stretches;
  SpaceRuns spaces(text);
  size_t taken = 0;  // text before this has its place
  for (size_t i = 0; i < text.size();) {
    const std::optional<Match> match = Longest(text, i);
    i = match ? match->end : i + 1;
    if (!match) continue;
    auto [begin, end, token] = *match;
    if (token->single_word && !IsWholeWord(text, begin, end)) continue;
    if (token->lstrip) begin = SkipSpaceBack(text, begin, taken);
    if (token->rstrip) end = spaces.EndFrom(end);
    end = std::max(begin, end);
    // White space that a token took may itself hold a token: it is matched
    // again, as in the original, so `begin` may stand before `taken`.
    if (taken < begin)
      stretches.push_back({text.substr(taken, begin - taken), std::nullopt});
    stretches.push_back({text.substr(begin, end - begin), token->id});
    taken = end;
  }
  if (taken < text.size()) stretches.push_back({text.substr(taken), {}});
  return stretches;
}

absl::Status AddedTokens::Build(const std::vector<AddedToken>& tokens,
                                const Normalize& normalize) {
  for (const bool special : {true, false}) {  // special ones win a tie
    for (const AddedToken& token : tokens) {
      if (token.special != special) continue;
      std::string pattern = token.content;
      if (token.normalized) RETURN_IF_ERROR(normalize(&pattern));
      (token.normalized ? normalized_ : raw_).Add(token, pattern);
    }
  }
  return absl::OkStatus();
}

absl::Status AddedTokens::Cut(
    std::string_view text, const Normalize& normalize,
    const std::function<void(int32_t)>& on_token,
    const std::function<absl::Status(std::string_view, bool)>& on_text) const {
  for (const Stretch& outer : raw_.Cut(text)) {
    if (outer.token) {
      on_token(*outer.token);
      continue;
    }
    std::string normal(outer.text);
    RETURN_IF_ERROR(normalize(&normal));
    for (const Stretch& inner : normalized_.Cut(normal)) {
      if (inner.token) {
        on_token(*inner.token);
        continue;
      }
      const bool at_start = outer.text.data() == text.data() &&
                            inner.text.data() == normal.data();
      RETURN_IF_ERROR(on_text(inner.text, at_start));
    }
  }
  return absl::OkStatus();
}

}  // namespace quatrain
