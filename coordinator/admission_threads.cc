#include "coordinator/admission_threads.h"

namespace quatrain {

AdmissionThreads::AdmissionThreads(int num_threads, size_t max_waiting)
    : queue_(max_waiting) {
  for (int i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this] {
      while (auto job = queue_.Pop()) (*job)();
    });
  }
}

AdmissionThreads::~AdmissionThreads() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

bool AdmissionThreads::TryRun(std::function<void()> job) {
  return queue_.TryPush(job);
}

}  // namespace quatrain
