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

  // Begins to listen.
  void OnStop(std::function<void()> on_stop);

 private:
  std::jthread thread_;
};

}  // namespace quatrain
