#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace quatrain {

// The whole of a UTF-8 text file. NotFound or InvalidArgument, naming the file,
// if it is missing, no regular file, or not UTF-8.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace quatrain
