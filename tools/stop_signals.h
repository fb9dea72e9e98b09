#pragma once

#include <functional>
#include <stop_token>
#include <thread>

namespace quatrain {

// Turns SIGTERM and SIGINT into calls: the first one calls `on_stop` on a
// thread of its own; a second one ends the process at once, with 128 + its
// number. Construct before other threads exist, so that they inherit the
// blocked signals.
class StopSignals {
 public:
  StopSignals();

  // Listens until the thread is destroyed: declare it after what `on_stop`
  // uses. From then on no signal does anything, and the process is about to
  // end.
  [[nodiscard]] std::jthread OnStop(std::function<void()> on_stop) const;
};

}  // namespace quatrain
