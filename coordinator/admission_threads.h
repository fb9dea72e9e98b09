#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace quatrain {

// Where requests are checked and tokenized. gRPC has only a few threads for all
// calls: a long prompt on one of them would delay the streams of others.
class AdmissionThreads {
 public:
  AdmissionThreads(int num_threads, size_t max_waiting);
  // Runs what waits, then ends the threads.
  ~AdmissionThreads();

  // False if too much waits already.
  bool TryRun(std::function<void()> job);

 private:
  BoundedQueue<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace quatrain
