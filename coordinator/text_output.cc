#include "coordinator/text_output.h"

#include <utility>

namespace quatrain {

TextOutput::TextOutput(const Tokenizer* tokenizer,
                       std::span<const int32_t> prompt_ids,
                       const TextOptions& options)
    : detokenizer_(tokenizer, prompt_ids,
                   {.skip_special_tokens = options.skip_special_tokens}),
      matcher_(options.stop, options.include_stop_in_output) {}

bool TextOutput::Push(int32_t token_id) {
  ready_ += matcher_.Push(detokenizer_.Push(token_id));
  return matched_stop().has_value();
}

void TextOutput::Finish() {
  ready_ += matcher_.Push(detokenizer_.Finish());
  ready_ += matcher_.Finish();
}

std::string TextOutput::Take() { return std::exchange(ready_, ""); }

}  // namespace quatrain
