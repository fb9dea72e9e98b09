#include "worker/shared_message_path.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"

namespace quatrain {

struct SharedMessageArea::Header {
  SharedCounter sent, taken;
  std::atomic<uint32_t> sender_left{0}, receiver_left{0};
};

namespace {

size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t SharedMessageArea::Bytes(size_t max_bytes) {
  return static_cast<int64_t>(RoundUp(sizeof(Header)) + 2 * RoundUp(max_bytes));
}

SharedMessageArea::Header* SharedMessageArea::header() const {
  return std::launder(
      reinterpret_cast<Header*>(memory->bytes().data() + offset));
}

std::byte* SharedMessageArea::message(int slot) const {
  return memory->bytes().data() + offset + RoundUp(sizeof(Header)) +
         slot * RoundUp(max_bytes);
}

void SharedMessageArea::Prepare() const {
  CHECK_LE(offset + Bytes(max_bytes), memory->bytes().size());
  new (memory->bytes().data() + offset) Header;
}

SharedMessageSender::SharedMessageSender(SharedWait wait, int peer,
                                         SharedMessageArea area)
    : wait_(std::move(wait)),
      area_(std::move(area)),
      peer_{peer, area_.memory, &area_.header()->receiver_left, &closed_},
      hook_(wait_.fault, [this] { Close(); }) {}

bool SharedMessageSender::Send(std::span<const std::byte> message) {
  CHECK_LE(message.size(), area_.max_bytes);
  if (closed_ || !AwaitPeer(wait_, peer_, &area_.header()->taken,
                            num_sent_ - 1 /* of what goes before the last */)) {
    return false;
  }
  std::memcpy(area_.message(num_sent_ % 2), message.data(), message.size());
  ++num_sent_;
  area_.header()->sent.Advance();
  return true;
}

void SharedMessageSender::Close() {
  closed_ = true;
  area_.header()->sender_left.store(1);
  area_.header()->sent.Wake();
  area_.header()->taken.Wake();
}

SharedMessageReceiver::SharedMessageReceiver(
    SharedWait wait, int peer, std::shared_ptr<SharedMemory> peer_memory,
    SharedMessageArea area)
    : wait_(std::move(wait)),
      area_(std::move(area)),
      peer_{peer, std::move(peer_memory), &area_.header()->sender_left,
            &closed_},
      hook_(wait_.fault, [this] { Close(); }) {}

bool SharedMessageReceiver::Receive(std::span<std::byte> message) {
  CHECK_LE(message.size(), area_.max_bytes);
  if (closed_ ||
      !AwaitPeer(wait_, peer_, &area_.header()->sent, num_received_ + 1)) {
    return false;
  }
  std::memcpy(message.data(), area_.message(num_received_ % 2), message.size());
  ++num_received_;
  area_.header()->taken.Advance();
  return true;
}

void SharedMessageReceiver::Close() {
  closed_ = true;
  area_.header()->receiver_left.store(1);
  area_.header()->sent.Wake();
  area_.header()->taken.Wake();
}

}  // namespace quatrain
