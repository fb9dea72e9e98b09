#pragma once

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "coordinator/engine.h"

namespace quatrain {

// An Engine that plays a script instead of computing: every sequence gets the
// same tokens, one a step, on one thread, as the step loop would.
class FakeEngine final : public Engine {
 public:
  struct Script {
    std::vector<int32_t> token_ids;
    absl::Duration step = absl::ZeroDuration();
    bool repeat = false;  // for ever, until it is cancelled
    int tokens_per_step = 1;
    absl::Status fails_after;  // instead of finishing
    absl::Status refuses;      // what Submit says
  };

  FakeEngine() : thread_([this] { Run(); }) {}
  ~FakeEngine() override {
    stop_ = true;
    thread_.join();
  }

  void SetScript(Script script) {
    MutexLock lock(&mutex_);
    script_ = std::move(script);
  }
  void SetPhase(EnginePhase phase) { phase_ = phase; }

  absl::Status Submit(GenerationRequest request,
                      std::unique_ptr<SequenceListener> listener) override {
    MutexLock lock(&mutex_);
    if (!script_.refuses.ok()) return script_.refuses;
    if (!live_.insert(request.request_id).second)
      return absl::AlreadyExistsError("id is live");
    last_request_ = request;
    arrivals_.push_back({std::move(request), std::move(listener), script_});
    return absl::OkStatus();
  }

  void Cancel(const std::string& request_id) override {
    MutexLock lock(&mutex_);
    if (live_.contains(request_id)) cancelled_.insert(request_id);
  }

  EngineStats stats() const override {
    EngineStats stats;
    stats.num_running = num_running_;
    stats.num_blocks = 100;
    stats.block_size = 16;
    return stats;
  }
  EngineState state() const override { return {phase_, "waits for 2 workers"}; }

  GenerationRequest last_request() {
    MutexLock lock(&mutex_);
    return last_request_;
  }
  bool was_cancelled(const std::string& request_id) {
    MutexLock lock(&mutex_);
    return ever_cancelled_.contains(request_id);
  }
  int num_running() const { return num_running_; }
  int num_ended() const { return num_ended_; }

 private:
  struct Sequence {
    GenerationRequest request;
    std::unique_ptr<SequenceListener> listener;
    Script script;
    size_t next = 0;
    bool prompt_told = false;
    absl::Time due = absl::InfinitePast();
  };

  void Run() {
    while (!stop_) {
      bool worked = false;
      TakeArrivals();
      for (auto it = running_.begin(); it != running_.end();) {
        bool ended = IsCancelled(it->request.request_id);
        if (ended) {
          it->listener->OnFailed(absl::CancelledError("cancelled"));
        } else if (absl::Now() >= it->due) {
          worked = true;
          ended = Step(*it);
        }
        it = ended ? Drop(it) : std::next(it);
        num_running_ = static_cast<int>(running_.size());
      }
      if (!worked) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    for (Sequence& sequence : running_)
      sequence.listener->OnFailed(absl::UnavailableError("engine stopped"));
    running_.clear();
  }

  std::list<Sequence>::iterator Drop(std::list<Sequence>::iterator it) {
    {
      MutexLock lock(&mutex_);
      live_.erase(it->request.request_id);
      cancelled_.erase(it->request.request_id);
    }
    ++num_ended_;
    return running_.erase(it);
  }

  void TakeArrivals() {
    MutexLock lock(&mutex_);
    while (!arrivals_.empty()) {
      running_.push_back(std::move(arrivals_.front()));
      arrivals_.pop_front();
    }
    num_running_ = static_cast<int>(running_.size());
  }

  bool IsCancelled(const std::string& request_id) {
    MutexLock lock(&mutex_);
    if (cancelled_.erase(request_id) == 0) return false;
    ever_cancelled_.insert(request_id);
    return true;
  }

  static GeneratedToken Scored(const GenerationRequest& request, int32_t id) {
    GeneratedToken token{.token_id = id};
    if (request.logprobs) token.logprob = Logprob{id, -0.25f * id, 2};
    for (int i = 0; i < request.top_logprobs; ++i)
      token.top_logprobs.push_back(
          {i, -0.125f * i, static_cast<uint32_t>(i + 1)});
    return token;
  }

  // True if the sequence has ended.
  bool Step(Sequence& sequence) {
    sequence.due = absl::Now() + sequence.script.step;
    if (!sequence.prompt_told && sequence.request.prompt_logprobs) {
      std::vector<GeneratedToken> prompt;
      for (int32_t id : sequence.request.prompt_token_ids)
        prompt.push_back({.token_id = id, .logprob = Logprob{id, -1.5f, 7}});
      prompt[0].logprob.reset();
      sequence.listener->OnPromptTokens(prompt);
    }
    sequence.prompt_told = true;
    for (int i = 0; i < sequence.script.tokens_per_step; ++i) {
      if (OneToken(sequence)) return true;
    }
    return false;
  }

  bool OneToken(Sequence& sequence) {
    const auto& ids = sequence.script.token_ids;
    const GenerationRequest& request = sequence.request;
    if (sequence.next == ids.size() && !sequence.script.repeat) {
      if (sequence.script.fails_after.ok()) {
        return End(sequence, FinishReason::kContextLength, -1);
      }
      sequence.listener->OnFailed(sequence.script.fails_after);
      return true;
    }
    const int32_t id = ids[sequence.next++ % ids.size()];
    const bool stopped = sequence.listener->OnToken(Scored(request, id));
    if (Contains(request.eos_token_ids, id))
      return End(sequence, FinishReason::kEos, id);
    if (Contains(request.stop_token_ids, id))
      return End(sequence, FinishReason::kStopToken, id);
    if (stopped) return End(sequence, FinishReason::kStopText, -1);
    if (sequence.next == static_cast<size_t>(request.max_tokens) &&
        !sequence.script.repeat)
      return End(sequence, FinishReason::kLength, -1);
    return false;
  }

  static bool Contains(const std::vector<int32_t>& ids, int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

  static bool End(Sequence& sequence, FinishReason reason, int32_t matched) {
    sequence.listener->OnFinished(
        {.reason = reason,
         .matched_token_id = matched,
         .completion_tokens = static_cast<int>(sequence.next)});
    return true;
  }

  Mutex mutex_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  GenerationRequest last_request_ ABSL_GUARDED_BY(mutex_);
  std::list<Sequence> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> live_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> cancelled_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> ever_cancelled_ ABSL_GUARDED_BY(mutex_);
  std::list<Sequence> running_;  // the thread's
  std::atomic<int> num_running_ = 0;
  std::atomic<int> num_ended_ = 0;
  std::atomic<EnginePhase> phase_ = EnginePhase::kReady;
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // last
};

}  // namespace quatrain
