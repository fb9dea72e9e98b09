#include "coordinator/group_control.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/byte_size.h"
#include "base/logging.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

constexpr absl::Duration kPoll = absl::Milliseconds(50);
// Workers that leave and a Stop of our own: one Ctrl-C, if no further apart.
constexpr absl::Duration kTogether = absl::Milliseconds(300);
constexpr absl::Duration kProgressInterval = absl::Seconds(1);

}  // namespace

GroupControl::GroupControl(uint64_t epoch, WorkerRegistry* registry,
                           GroupMembers* members, StepLoop* loop,
                           std::function<bool()> stopped)
    : epoch_(epoch),
      registry_(*registry),
      members_(*members),
      loop_(*loop),
      stopped_(std::move(stopped)) {}

absl::StatusOr<std::vector<pb::Reply>> GroupControl::Command(
    const char* name, absl::Duration timeout, const Build& build,
    bool patient) {
  const SteadyTime deadline = SteadyTime::Now() + timeout;
  Send(timeout, build);
  absl::Status error;
  while (replies_.size() < members_.all().size()) {
    if (SteadyTime::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(name, ": no answer from ", WhoHasNotReplied(), " after ",
                       absl::FormatDuration(timeout)));
    }
    ASSIGN_OR_RETURN(const std::optional<WorkerEvent> event, Poll());
    if (stopped_()) return absl::CancelledError("stopped");
    if (!event || !IsReply(*event)) continue;
    replies_[event->worker] = event->reply;
    error.Update(ErrorOf(name, *event));
    if (!error.ok() && !patient) return error;
  }
  RETURN_IF_ERROR(error);
  std::vector<pb::Reply> replies;
  for (const GroupMember& member : members_.all())
    replies.push_back(replies_.at(member.key));
  return replies;
}

absl::Status GroupControl::ErrorOf(const char* name,
                                   const WorkerEvent& event) const {
  if (event.reply.code() == 0) return absl::OkStatus();
  return absl::Status(
      static_cast<absl::StatusCode>(event.reply.code()),
      absl::StrCat(name, ": ", Describe(*members_.Find(event.worker)), ": ",
                   event.reply.message()));
}

void GroupControl::Send(absl::Duration timeout, const Build& build) {
  replies_.clear();
  ++last_command_id_;
  for (const GroupMember& member : members_.all()) {
    pb::Command command;
    command.set_command_id(last_command_id_);
    command.set_epoch(epoch_);
    command.set_deadline_ms(static_cast<uint32_t>(
        std::clamp<int64_t>(absl::ToInt64Milliseconds(timeout), 0,
                            std::numeric_limits<int32_t>::max())));
    build(member, &command);
    registry_.SendCommand(member.key, command);
  }
}

bool GroupControl::IsReply(const WorkerEvent& event) const {
  return event.kind == WorkerEvent::kReply && event.reply.epoch() == epoch_ &&
         event.reply.command_id() == last_command_id_ &&
         members_.Find(event.worker) != nullptr;
}

std::string GroupControl::WhoHasNotReplied() const {
  std::vector<std::string> late;
  for (const GroupMember& member : members_.all())
    if (!replies_.contains(member.key)) late.push_back(Describe(member));
  return absl::StrJoin(late, ", ");
}

void GroupControl::Tell(absl::Duration timeout, const Build& build) {
  if (members_.all().empty()) members_.SetAttached();  // never complete
  const SteadyTime deadline = SteadyTime::Now() + timeout;
  Send(timeout, build);
  while (!AllToldOrGone() && SteadyTime::Now() < deadline) {
    const std::optional<WorkerEvent> event = registry_.NextEvent(kPoll);
    if (event && IsReply(*event)) replies_[event->worker] = event->reply;
  }
}

bool GroupControl::AllToldOrGone() const {
  return std::all_of(members_.all().begin(), members_.all().end(),
                     [this](const GroupMember& member) {
                       return replies_.contains(member.key) ||
                              !members_.IsAttached(member);
                     });
}

absl::StatusOr<std::optional<WorkerEvent>> GroupControl::Poll() {
  std::optional<WorkerEvent> event = registry_.NextEvent(kPoll);
  RETURN_IF_ERROR(members_.CheckBeats());
  if (!event) return event;
  if (event->kind == WorkerEvent::kProgress) LogProgress(*event);
  const GroupMember* member = members_.Find(event->worker);
  if (member == nullptr) return event;
  if (event->kind == WorkerEvent::kLost)
    return LostStatus(*member, event->reason);
  if (event->kind == WorkerEvent::kLeaving) {
    workers_leave_ = StopFollows();
    if (!workers_leave_)
      return LostStatus(*member, absl::StrCat("it leaves: ", event->reason));
  }
  return event;
}

// Ctrl-C in a terminal reaches workers and coordinator alike: then the
// workers' leaving is no loss.
bool GroupControl::StopFollows() const {
  const SteadyTime deadline = SteadyTime::Now() + kTogether;
  while (!stopped_()) {
    if (SteadyTime::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

void GroupControl::LogProgress(const WorkerEvent& event) {
  progress_[event.progress.rank()] = event.progress;
  const SteadyTime now = SteadyTime::Now();
  if (now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  int64_t done = 0;
  int64_t total = 0;
  for (const auto& [rank, progress] : progress_) {
    done += progress.done_bytes();
    total += progress.total_bytes();
  }
  const std::string line = absl::StrCat(
      "loading weights: ", FormatByteSize(done), " of ", FormatByteSize(total));
  spdlog::info("{}", line);
  loop_.SetState(EnginePhase::kLoading, line);
}

}  // namespace quatrain
