#include "base/version.h"

// QUATRAIN_GIT_REVISION is this file's alone, so that a new commit compiles
// nothing else again.

namespace quatrain {

const char* const kGitRevision = QUATRAIN_GIT_REVISION;
const char* const kBuildId = "0.1.0+" QUATRAIN_GIT_REVISION;

}  // namespace quatrain
