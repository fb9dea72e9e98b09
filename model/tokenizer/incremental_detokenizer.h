#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer.h"

namespace quatrain {

// Streams the text of one sequence, token by token. The pieces together are
// the text that goes on after the prompt, the blank that joins the two
// included: Decode(prompt) + pieces == Decode(prompt + output).
//
// A piece never ends inside a character. What a token costs does not grow with
// the sequence. The one case where the pieces differ from Decode: `<0xNN>`
// tokens that spell whole characters and then, in the same run of such tokens,
// broken bytes. Decode turns the whole run into U+FFFD; the whole characters
// have been streamed by then, and only the rest of the run becomes U+FFFD.
//
// Used by one thread at a time; `tokenizer` must outlive it.
class IncrementalDetokenizer {
 public:
  IncrementalDetokenizer(const Tokenizer* tokenizer,
                         std::span<const int32_t> prompt_ids,
                         DecodeOptions options);

  // The characters that are complete with this token; "" while one is not.
  std::string Push(int32_t id);

  // Ends the text: bytes of a character that never came become U+FFFD.
  std::string Finish();

 private:
  void ReadPrompt(std::span<const int32_t> prompt_ids);
  void AppendRunByte(std::string_view byte, std::string* text);
  void EndRun(std::string* text);
  void AppendBroken(int count, std::string* text);
  void AppendComplete(std::string* text);
  std::string Strip(std::string text);

  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  bool first_ = true;        // no token has reached the decoder yet
  int strip_left_ = 0;       // leading characters that the decoder still drops
  bool broken_run_ = false;  // this run of <0xNN> tokens is not UTF-8
  bool in_run_ = false;      // the last token was <0xNN>
  std::string pending_;      // the start of a character, 0 to 3 bytes
  // How many U+FFFD the prompt's own text has for what of pending_ came from
  // the prompt: they are not streamed again if the character stays broken.
  int in_prompt_ = 0;
};

}  // namespace quatrain
