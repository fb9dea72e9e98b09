#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/stop_matcher.h"
#include "model/tokenizer/incremental_detokenizer.h"

namespace quatrain {

struct TextOptions {
  bool skip_special_tokens = true;
  std::vector<std::string> stop;
  bool include_stop_in_output = false;
};

// The text of one sequence as its client may see it: whole characters, cut at
// the first stop string, without a tail that may still become one. Used by one
// thread at a time.
class TextOutput {
 public:
  // The text goes on after `prompt_ids`: it starts with the blank that joins
  // the two, if there is one. `tokenizer` must outlive this.
  TextOutput(const Tokenizer* tokenizer, std::span<const int32_t> prompt_ids,
             const TextOptions& options);

  // True if the token decides that a stop string ends the text; what follows
  // adds nothing.
  bool Push(int32_t token_id);

  // The sequence has ended: nothing is held back any more. May match a stop
  // string too: one that has U+FFFD in it, or one that another, which would
  // have started before it, kept waiting.
  void Finish();

  // The text that may be shown and was not taken yet.
  std::string Take();

  // The stop string that ended the text.
  const std::optional<std::string>& matched_stop() const {
    return matcher_.matched();
  }

 private:
  IncrementalDetokenizer detokenizer_;
  StopMatcher matcher_;
  std::string ready_;
};

}  // namespace quatrain
