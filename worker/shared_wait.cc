#include "worker/shared_wait.h"

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;

// Why not to wait any longer, else OK.
absl::Status Reason(const SharedWait& wait, const SharedPeer& peer,
                    Clock::time_point deadline) {
  const auto who = [&] {
    return absl::StrCat(wait.name, ": rank ", peer.rank);
  };
  if (peer.left->load() != 0)
    return absl::UnavailableError(absl::StrCat(who(), " has left it"));
  if (peer.memory->OwnerIsGone())
    return absl::UnavailableError(
        absl::StrCat(who(), " is lost: its process has ended"));
  if (Clock::now() >= deadline)
    return absl::DeadlineExceededError(absl::StrCat(
        who(), " did not answer within ", wait.timeout.count(), " ms"));
  return absl::OkStatus();
}

}  // namespace

bool AwaitPeer(const SharedWait& wait, const SharedPeer& peer,
               SharedCounter* counter, uint32_t target) {
  if (wait.fault->raised()) return false;
  const Clock::time_point deadline = Clock::now() + wait.timeout;
  absl::Status reason;
  const auto go_on = [&] {
    if (wait.fault->raised()) return false;
    if (peer.closed != nullptr && *peer.closed) return false;
    reason = Reason(wait, peer, deadline);
    return reason.ok();
  };
  if (counter->Await(target, wait.spin, go_on)) return true;
  if (!reason.ok()) wait.fault->Raise(reason, peer.rank);
  return false;
}

}  // namespace quatrain
