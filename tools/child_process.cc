#include "tools/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace quatrain {
namespace {

// Runs in the child between fork and exec: system calls only.
[[noreturn]] void ExecSelf(char* const* argv, bool discard, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // the parent went away before prctl
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // the parent may have blocked some
  syscall(SYS_close_range, 3u, ~0u, 0u);     // sockets and files of the parent
  if (discard) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
  }
  execv("/proc/self/exe", argv);
  _exit(127);
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::StartSelf(
    const std::vector<std::string>& arguments, Output output) {
  std::string name = "quatrain";
  std::vector<std::string> copy = arguments;
  std::vector<char*> argv = {name.data()};
  for (std::string& argument : copy) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start a process: ", std::strerror(errno)));
  }
  if (pid == 0) ExecSelf(argv.data(), output == Output::kDiscard, parent);
  return ChildProcess(pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_) {}

ChildProcess& ChildProcess::operator=(ChildProcess other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_code_, other.exit_code_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) Stop(absl::Seconds(5));
}

int ChildProcess::Poll() {
  if (exit_code_ >= 0) return exit_code_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return -1;
  exit_code_ =
      WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return exit_code_;
}

int ChildProcess::Stop(absl::Duration grace) {
  if (Poll() >= 0) return exit_code_;
  kill(pid_, SIGTERM);
  const absl::Time deadline = absl::Now() + grace;
  while (absl::Now() < deadline) {
    if (Poll() >= 0) return exit_code_;
    absl::SleepFor(absl::Milliseconds(5));
  }
  kill(pid_, SIGKILL);
  while (Poll() < 0) absl::SleepFor(absl::Milliseconds(1));
  return exit_code_;
}

}  // namespace quatrain
