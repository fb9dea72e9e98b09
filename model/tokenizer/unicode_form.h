#pragma once

#include <string>

#include "model/tokenizer/normalizer.h"

namespace quatrain {

// Brings `text` (valid UTF-8) into a Unicode normalization form, in
// O(n log n) also where a base carries thousands of unordered marks.
void ToUnicodeForm(UnicodeForm form, std::string* text);

}  // namespace quatrain
