#include "base/version.h"

#include <cstdio>
#include <memory>

#include "tools/command.h"

namespace quatrain {
namespace {

int Run(bool json) {
  std::printf(json ? "{\"version\": \"%s\", \"git_revision\": \"%s\", "
                     "\"build_id\": \"%s\"}\n"
                   : "quatrain %s (%s, build %s)\n",
              kVersion, kGitRevision, kBuildId);
  return kExitOk;
}

}  // namespace

RunCommand AddVersion(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "as JSON");
  return [json] { return Run(*json); };
}

}  // namespace quatrain
