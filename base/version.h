#pragma once

namespace quatrain {

inline constexpr char kVersion[] = "0.1.0";  // as in version.cc

// "0123456789ab", or "unknown" if built outside git.
extern const char* const kGitRevision;

// Equal for processes that may form one group.
extern const char* const kBuildId;

}  // namespace quatrain
