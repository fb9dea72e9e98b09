#include "kernels/emu/buffer_shadow.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"

// Device buffers: which block wrote and which read a word in this launch.
namespace simt::emu {
namespace {

class GlobalCheck {
 public:
  GlobalCheck(Lane& me, Allocation& buffer, const void* address, size_t bytes,
              Access access, const Origin& origin)
      : cta_(*me.cta),
        index_(static_cast<uint32_t>(cta_.index)),
        buffer_(buffer),
        begin_(static_cast<const std::byte*>(address) - buffer.begin),
        end_(begin_ + bytes),
        access_(access),
        launch_(static_cast<uint32_t>(TheMachine().launch_number)),
        origin_(OriginNumber(origin)) {}

  void Run() {
    for (size_t word = begin_ / 4; word * 4 < end_; ++word) {
      WordState& state = ShadowOf(buffer_).word(word);
      if (state.launch != launch_) {
        state = {};
        state.launch = launch_;
      }
      const uint8_t mask = MaskOf(word);
      Check(state, mask, word);
      Remember(state, mask);
    }
  }

 private:
  // Which of the word's bytes are touched.
  uint8_t MaskOf(size_t word) const {
    uint8_t mask = 0;
    for (size_t i = 0; i < 4; ++i)
      if (word * 4 + i >= begin_ && word * 4 + i < end_)
        mask = static_cast<uint8_t>(mask | 1 << i);
    return mask;
  }

  bool Ordered(const BlockMark& before, uint8_t mask) const {
    return !(before.mask & mask) || before.block == index_ ||
           (before.atomic && IsAtomic(access_)) ||
           cta_.clock.HasHeard(before.block, before.clock);
  }

  void Check(const WordState& state, uint8_t mask, size_t word) const {
    if (access_ == Access::kReadOnly && state.writer.mask & mask)
      FailAt(word, Fault::kReadOnlyWritten, state.writer);
    if (Writes(access_) && state.read_only && state.reader.mask & mask)
      FailAt(word, Fault::kReadOnlyWritten, state.reader);
    if (!Ordered(state.writer, mask))
      FailAt(word, Fault::kBlockCollision, state.writer);
    if (Writes(access_) && !Ordered(state.reader, mask))
      FailAt(word, Fault::kBlockCollision, state.reader);
  }

  void Remember(WordState& state, uint8_t mask) const {
    BlockMark& mark = Writes(access_) ? state.writer : state.reader;
    state.read_only |= access_ == Access::kReadOnly;
    const bool same = mark.block == index_ && mark.mask != 0;
    // An earlier reader that this block has not heard of is worth more.
    if (!Writes(access_) && mark.mask != 0 && !same &&
        !cta_.clock.HasHeard(mark.block, mark.clock))
      return;
    mark = {index_, cta_.clock.now, origin_,
            static_cast<uint8_t>(same ? mark.mask | mask : mask),
            IsAtomic(access_) && (!same || mark.atomic)};
  }

  void FailAt(size_t word, Fault fault, const BlockMark& other) const {
    const HooksOff off;
    const FixedText here(OriginText(origin_));
    const FixedText there(OriginText(other.origin));
    FailUnlessTolerated(
        fault, {},
        "offset %zu of a device buffer of %zu bytes is %s%s, and was used by "
        "block %lld%s",
        word * 4, buffer_.bytes, Writes(access_) ? "written" : "read",
        here.text, static_cast<long long>(other.block), there.text);
  }

  Cta& cta_;
  const uint32_t index_;
  Allocation& buffer_;
  const size_t begin_;
  const size_t end_;
  const Access access_;
  const uint32_t launch_;
  const uint32_t origin_;
};

}  // namespace

BufferShadow& ShadowOf(Allocation& buffer) {
  if (!buffer.shadow)
    buffer.shadow = std::make_shared<BufferShadow>(buffer.bytes / 4 + 1);
  return *buffer.shadow;
}

void GlobalAccess(Lane& me, Allocation& buffer, const void* address,
                  size_t bytes, Access access, const Origin& origin) {
  GlobalCheck(me, buffer, address, bytes, access, origin).Run();
}

}  // namespace simt::emu
