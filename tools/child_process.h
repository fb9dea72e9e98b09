#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quatrain {

// A child that runs this same executable with other arguments. It is asked to
// stop (SIGTERM) when its owner goes away, also when the owner is killed. Start
// from the main thread: the kernel ties that to the thread.
class ChildProcess {
 public:
  // Where the child's standard output and error go.
  enum class Output { kInherit, kDiscard };

  static absl::StatusOr<ChildProcess> StartSelf(
      const std::vector<std::string>& arguments, Output output);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess other) noexcept;
  ~ChildProcess();  // Stop(5 s)

  pid_t pid() const { return pid_; }

  // The exit code once it has ended (128 + signal where one ended it), else -1.
  int Poll();

  // SIGTERM, then SIGKILL after `grace`. Returns as Poll.
  int Stop(absl::Duration grace);

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
  int exit_code_ = -1;
};

}  // namespace quatrain
