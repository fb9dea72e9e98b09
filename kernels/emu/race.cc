#include <cstring>

#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"

// Shared memory: every byte's state, its last writer and two of its readers.
namespace simt::emu {
namespace {

const char* Verb(Access access) {
  switch (access) {
    case Access::kCopyIssue:
      return "is overwritten by a cp.async";
    case Access::kCopyArrive:
      return "is written by an arriving cp.async";
    default:
      break;
  }
  if (IsAtomic(access)) return "is used by an atomic";
  return Writes(access) ? "is written" : "is read";
}

// One access of one thread, looked at byte by byte.
class SharedCheck {
 public:
  SharedCheck(Lane& me, const void* address, size_t bytes, Access access,
              const Origin& origin)
      : me_(me),
        shadow_(me.cta->arena.shadow()),
        address_(static_cast<const std::byte*>(address)),
        begin_(address_ - me.cta->arena.data()),
        bytes_(bytes),
        access_(access),
        origin_(origin),
        mark_{me.clock.now << AccessMark::kThreadBits |
                  static_cast<uint32_t>(me.linear()),
              OriginNumber(origin)} {}

  void Run() {
    for (size_t at = begin_; at < begin_ + bytes_; ++at) {
      if (at > begin_ && SameAsBefore(at)) continue;
      before_state_ = shadow_.state(at);
      before_ = shadow_.history(at);
      CheckState(at);
      if (shadow_.state(at) == ByteState::kUnwritten)
        shadow_.history(at) = {};
      else
        CheckHistory(at);
      Remember(at);
    }
  }

 private:
  // Mostly all bytes of a word have seen the same: what was found for the one
  // before holds for this one.
  bool SameAsBefore(size_t at) {
    if (shadow_.state(at) != before_state_ ||
        (before_state_ != ByteState::kUnwritten &&
         std::memcmp(&shadow_.history(at), &before_, sizeof(before_)) != 0))
      return false;
    shadow_.state(at) = shadow_.state(at - 1);
    shadow_.history(at) = shadow_.history(at - 1);
    return true;
  }

  void CheckState(size_t at) {
    const ByteState state = shadow_.state(at);
    if (state == ByteState::kClosed) FailBounds(address_, bytes_, origin_);
    if (state == ByteState::kInFlight && access_ != Access::kCopyArrive)
      FailAt(at, Fault::kCopyInFlight, "while a cp.async to it is in flight",
             shadow_.history(at).writer);
    const bool reads = !Writes(access_) || access_ == Access::kAtomic;
    if (state == ByteState::kUnwritten && reads)
      FailAt(at, Fault::kUnwrittenRead, "before anything has written it", {});
  }

  void CheckHistory(size_t at) {
    const ByteHistory& history = shadow_.history(at);
    if (!Ordered(history.writer, history.atomic_write))
      FailAt(at, Fault::kRace, "unordered with a write", history.writer);
    if (access_ == Access::kAsyncRead && !Fenced(history))
      FailAt(at, Fault::kProxyFence,
             "by the asynchronous proxy, without fence.proxy.async since the "
             "write",
             history.writer);
    if (!Writes(access_)) return;
    for (int i = 0; i < 2; ++i)
      if (!Ordered(history.readers[i], history.atomic_reads[i]))
        FailAt(at, Fault::kRace, "unordered with a read", history.readers[i]);
  }

  bool Ordered(const AccessMark& before, bool atomic) const {
    return before.epoch == 0 || before.thread() == me_.linear() ||
           me_.clock.HasHeard(before.thread(), before.clock()) ||
           (atomic && IsAtomic(access_));
  }

  bool Fenced(const ByteHistory& history) const {
    const int writer = history.writer.thread();
    const Lane& lane =
        me_.cta->warps[writer / kWarpLanes].at(writer % kWarpLanes);
    return history.async_write ||
           lane.clock.proxy_fenced >= history.writer.clock();
  }

  void Remember(size_t at) {
    ByteHistory& history = shadow_.history(at);
    if (!Writes(access_)) {
      const int slot = ReaderSlot(history);
      history.readers[slot] = mark_;
      history.atomic_reads[slot] = IsAtomic(access_);
      return;
    }
    // Whoever is ordered after this write is ordered after those reads.
    history = {mark_, {}, IsAtomic(access_), false, {}};
    shadow_.state(at) = access_ == Access::kCopyIssue ? ByteState::kInFlight
                                                      : ByteState::kWritten;
  }

  // Its own, one that says nothing new, or any: a third reader displaces one.
  int ReaderSlot(const ByteHistory& history) const {
    for (int i = 0; i < 2; ++i)
      if (history.readers[i].epoch == 0 ||
          history.readers[i].thread() == me_.linear())
        return i;
    const AccessMark& first = history.readers[0];
    return me_.clock.HasHeard(first.thread(), first.clock()) ? 0 : 1;
  }

  void FailAt(size_t at, Fault fault, const char* what,
              const AccessMark& other) const {
    const HooksOff off;
    const FixedText here(OriginText(mark_.origin));
    const FixedText there(other.epoch == 0
                              ? ""
                              : " by thread " + std::to_string(other.thread()) +
                                    OriginText(other.origin));
    FailUnlessTolerated(fault, {}, "byte %zu of shared memory %s%s %s%s", at,
                        Verb(access_), here.text, what, there.text);
  }

  Lane& me_;
  SharedShadow& shadow_;
  const std::byte* const address_;
  const size_t begin_;
  const size_t bytes_;
  const Access access_;
  const Origin origin_;
  const AccessMark mark_;
  // Of the byte before, as it was found.
  ByteState before_state_ = ByteState::kClosed;
  ByteHistory before_ = {};
};

}  // namespace

void DeliveredAsync(Arena& arena, const void* address, size_t bytes) {
  if (!checking) return;
  const size_t begin = static_cast<const std::byte*>(address) - arena.data();
  arena.shadow().Set(begin, begin + bytes, ByteState::kWritten);
  for (size_t at = begin; at < begin + bytes; ++at)
    arena.shadow().history(at).async_write = true;
}

void SharedAccess(Lane& me, const void* address, size_t bytes, Access access,
                  const Origin& origin) {
  SharedCheck(me, address, bytes, access, origin).Run();
}

}  // namespace simt::emu
