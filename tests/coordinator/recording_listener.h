#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "coordinator/request.h"

namespace quatrain {

// What a listener heard. Thread-safe.
class Heard {
 public:
  void AddPrompt(const std::vector<GeneratedToken>& tokens) {
    MutexLock lock(&mutex_);
    for (const GeneratedToken& token : tokens) prompt_.push_back(token);
  }
  void AddToken(const GeneratedToken& token) {
    MutexLock lock(&mutex_);
    ids_.push_back(token.token_id);
  }
  void SetEnd(std::optional<SequenceEnd> end, absl::Status status) {
    MutexLock lock(&mutex_);
    end_ = std::move(end);
    status_ = std::move(status);
    done_ = true;
    changed_.SignalAll();
  }

  // Waits for the end. False if it did not come in 30 seconds.
  bool WaitUntilDone() {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    MutexLock lock(&mutex_);
    while (!done_ && absl::Now() < deadline)
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    return done_;
  }

  bool done() const {
    MutexLock lock(&mutex_);
    return done_;
  }
  std::vector<int32_t> ids() const {
    MutexLock lock(&mutex_);
    return ids_;
  }
  std::vector<GeneratedToken> prompt() const {
    MutexLock lock(&mutex_);
    return prompt_;
  }
  std::optional<SequenceEnd> end() const {
    MutexLock lock(&mutex_);
    return end_;
  }
  absl::Status status() const {
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<GeneratedToken> prompt_ ABSL_GUARDED_BY(mutex_);
  std::vector<int32_t> ids_ ABSL_GUARDED_BY(mutex_);
  std::optional<SequenceEnd> end_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
};

// Writes down what it hears; `heard` outlives it. With `stop_at`, says after
// that many tokens that a stop string is complete. What a test sets on top runs
// on the step loop's thread.
class RecordingListener final : public SequenceListener {
 public:
  explicit RecordingListener(std::shared_ptr<Heard> heard, int stop_at = 0)
      : heard_(std::move(heard)), stop_at_(stop_at) {}

  void OnPromptTokens(const std::vector<GeneratedToken>& tokens) override {
    heard_->AddPrompt(tokens);
  }
  bool OnToken(const GeneratedToken& token) override {
    heard_->AddToken(token);
    if (on_token_) on_token_(num_tokens_ + 1);
    return ++num_tokens_ == stop_at_;
  }
  void OnFinished(const SequenceEnd& end) override {
    if (on_finished_) on_finished_();
    heard_->SetEnd(end, absl::OkStatus());
  }
  void OnFailed(const absl::Status& status) override {
    heard_->SetEnd(std::nullopt, status);
  }

  std::function<void(int num_tokens)> on_token_;
  std::function<void()> on_finished_;

 private:
  const std::shared_ptr<Heard> heard_;  // the test reads it meanwhile
  const int stop_at_;
  int num_tokens_ = 0;
};

}  // namespace quatrain
