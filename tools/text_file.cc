#include "tools/text_file.h"

#include "absl/strings/str_cat.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::string text(reinterpret_cast<const char*>(file.bytes().data()),
                   file.bytes().size());
  if (!IsValidUtf8(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not UTF-8, expected text in UTF-8"));
  }
  return text;
}

}  // namespace quatrain
