#include "tools/stop_signals.h"

#include <signal.h>
#include <unistd.h>

#include <ctime>
#include <utility>

namespace quatrain {
namespace {

sigset_t BothSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// The next signal, or -1 when `stop` was requested.
int NextSignal(const std::stop_token& stop) {
  const sigset_t set = BothSignals();
  const timespec slice = {.tv_sec = 0, .tv_nsec = 50'000'000};
  while (!stop.stop_requested()) {
    const int signal = sigtimedwait(&set, nullptr, &slice);
    if (signal > 0) return signal;
  }
  return -1;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = BothSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

std::jthread StopSignals::OnStop(std::function<void()> on_stop) const {
  return std::jthread(
      [on_stop = std::move(on_stop)](const std::stop_token& stop) {
        if (NextSignal(stop) < 0) return;
        // Stopping waits for work to end; a second signal does not.
        std::jthread stopping(on_stop);
        const int second = NextSignal(stop);
        if (second > 0) _exit(128 + second);
      });
}

}  // namespace quatrain
