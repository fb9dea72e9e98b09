// Loads any bytes as a tokenizer.json and, where that works, uses it a little.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "model/tokenizer/incremental_detokenizer.h"
#include "model/tokenizer/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quatrain;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::FromJson(bytes);
  if (!tokenizer.ok()) return 0;
  const std::string_view texts[] = {
      "", " a b", "Hello, w\u00f6rld!\n  1234 <s>\t\u2581x\U0001F600",
      bytes.substr(0, 64)};
  for (const std::string_view text : texts) {
    const auto ids = (*tokenizer)->Encode(text, true);
    if (!ids.ok()) continue;
    if (!IsValidUtf8((*tokenizer)->Decode(*ids))) std::abort();
    IncrementalDetokenizer stream(tokenizer->get(), *ids, {});
    for (const int32_t id : *ids)
      if (!IsValidUtf8(stream.Push(id))) std::abort();
    if (!IsValidUtf8(stream.Finish())) std::abort();
  }
  return 0;
}
