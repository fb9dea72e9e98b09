#include "coordinator/group_members.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

// From Welcome to the first beat.
constexpr absl::Duration kFirstBeat = absl::Seconds(10);

}  // namespace

WorkerKey KeyOf(const WorkerView& worker) {
  return {worker.hello.worker_name(), worker.hello.incarnation()};
}

absl::Status LostStatus(const GroupMember& member, const std::string& why) {
  ErrorMetadata metadata = {{"worker", member.key.name},
                            {"host", member.hello.host()}};
  const std::vector<int> ranks = RanksOf(member);
  if (!ranks.empty()) metadata["rank"] = absl::StrJoin(ranks, ",");
  return WithReason(absl::UnavailableError(
                        absl::StrCat("lost ", Describe(member), ": ", why)),
                    "WORKER_LOST", metadata);
}

GroupMembers::GroupMembers(const WorkerRegistry* registry,
                           absl::Duration worker_timeout)
    : registry_(registry),
      worker_timeout_(worker_timeout),
      last_check_(SteadyTime::Now()) {}

void GroupMembers::SetAttached() {
  members_.clear();
  for (const WorkerView& worker : registry_->Workers())
    members_.push_back({.key = KeyOf(worker), .hello = worker.hello});
}

const GroupMember* GroupMembers::Find(const WorkerKey& key) const {
  for (const GroupMember& member : members_)
    if (member.key == key) return &member;
  return nullptr;
}

const GroupMember* GroupMembers::FindRank(int rank) const {
  for (const GroupMember& member : members_)
    for (const internal::v1::RankPlace& place : member.places)
      if (static_cast<int>(place.rank()) == rank) return &member;
  return nullptr;
}

const GroupMember& GroupMembers::Slowest() const {
  return *std::min_element(members_.begin(), members_.end(),
                           [this](const GroupMember& a, const GroupMember& b) {
                             return LastStepOf(a) < LastStepOf(b);
                           });
}

bool GroupMembers::IsAttached(const GroupMember& member) const {
  return ViewOf(member).has_value();
}

bool GroupMembers::AllAttached() const {
  return std::all_of(
      members_.begin(), members_.end(),
      [this](const GroupMember& member) { return IsAttached(member); });
}

absl::Status GroupMembers::CheckBeats() {
  const SteadyTime now = SteadyTime::Now();
  const absl::Duration since_last_check = now - last_check_;
  last_check_ = now;
  // Where this thread itself was held up, silence of others proves nothing.
  if (since_last_check > worker_timeout_ / 2) not_before_ = now;
  for (const WorkerView& worker : registry_->Workers()) {
    const GroupMember* member = Find(KeyOf(worker));
    if (member == nullptr) continue;
    const bool has_beaten = worker.last_beat.epoch() != 0;
    const absl::Duration silence =
        now - std::max(worker.last_beat_time, not_before_);
    if (silence <=
        worker_timeout_ + (has_beaten ? absl::ZeroDuration() : kFirstBeat))
      continue;
    return LostStatus(*member,
                      absl::StrCat("no heartbeat for ",
                                   absl::ToInt64Milliseconds(silence), " ms"));
  }
  return absl::OkStatus();
}

std::optional<WorkerView> GroupMembers::ViewOf(
    const GroupMember& member) const {
  for (const WorkerView& worker : registry_->Workers())
    if (KeyOf(worker) == member.key) return worker;
  return std::nullopt;
}

uint64_t GroupMembers::LastStepOf(const GroupMember& member) const {
  const std::optional<WorkerView> view = ViewOf(member);
  return view ? view->last_beat.last_step() : 0;
}

}  // namespace quatrain
