#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace quatrain {

// A token that is found in the text itself, before the normalizer or after it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // dropped by Decode when asked to
  bool single_word = false;  // only between characters that are not of a word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // looked for after the normalizer, not before
};

// A stretch of the text: an added token, or ordinary text.
struct Stretch {
  std::string_view text;  // a part of what was cut
  std::optional<int32_t> token;
};

// Finds a set of added tokens: leftmost first, of those that begin at the same
// place the longest. Takes O(text * longest content) at worst; contents are at
// most 1 KiB and mostly end at their second character.
class AddedTokenMatcher {
 public:
  // `pattern` is what to look for: the content, normalized where that applies.
  void Add(const AddedToken& token, std::string_view pattern);

  // Cuts `text` (valid UTF-8), in order, nothing left out but the white space
  // that tokens take along.
  std::vector<Stretch> Cut(std::string_view text) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> children;  // sorted by byte
    int32_t token = -1;                                 // index into tokens_
  };
  struct Match {
    size_t begin, end;
    const AddedToken* token;
  };

  int32_t Child(int32_t node, uint8_t byte) const;  // -1 if none
  std::optional<Match> Longest(std::string_view text, size_t begin) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<int32_t> first_ = std::vector<int32_t>(256, -1);
  std::vector<AddedToken> tokens_;
};

// Both passes over a checkpoint's added tokens.
class AddedTokens {
 public:
  using Normalize = std::function<absl::Status(std::string*)>;

  // Contents must differ from each other. Fails if `normalize` does.
  absl::Status Build(const std::vector<AddedToken>& tokens,
                     const Normalize& normalize);

  // Calls `on_token` for every added token in `text` and `on_text` for every
  // stretch between them, normalized, in order; `at_start` says that the
  // stretch begins where `text` does.
  absl::Status Cut(
      std::string_view text, const Normalize& normalize,
      const std::function<void(int32_t)>& on_token,
      const std::function<absl::Status(std::string_view, bool at_start)>&
          on_text) const;

 private:
  AddedTokenMatcher raw_;
  AddedTokenMatcher normalized_;
};

}  // namespace quatrain
