#include "worker/shared_message_path.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/cache_line.h"
#include "base/check.h"

namespace quatrain {

struct SharedMessageArea::Header {
  SharedCounter sent, taken;
  std::atomic<uint32_t> sender_left{0}, receiver_left{0};
};

int64_t SharedMessageArea::Bytes(size_t max_bytes) {
  return static_cast<int64_t>(WholeLines(sizeof(Header)) +
                              2 * WholeLines(max_bytes));
}

SharedMessageArea::Header* SharedMessageArea::header() const {
  return std::launder(
      reinterpret_cast<Header*>(memory->bytes().data() + offset));
}

std::byte* SharedMessageArea::message(int slot) const {
  return memory->bytes().data() + offset + WholeLines(sizeof(Header)) +
         slot * WholeLines(max_bytes);
}

void SharedMessageArea::Prepare() const {
  CHECK_LE(offset + Bytes(max_bytes), memory->bytes().size());
  new (memory->bytes().data() + offset) Header;
}

SharedMessageEnd::SharedMessageEnd(SharedWait wait, int peer,
                                   std::shared_ptr<SharedMemory> peer_memory,
                                   SharedMessageArea area,
                                   std::atomic<uint32_t>* my_left,
                                   const std::atomic<uint32_t>* peer_left)
    : wait_(std::move(wait)),
      area_(std::move(area)),
      my_left_(my_left),
      peer_{peer, std::move(peer_memory), peer_left, &closed_},
      hook_(wait_.fault, [this] { Close(); }) {}

bool SharedMessageEnd::Await(SharedCounter* counter, uint32_t target) {
  return !closed_ && AwaitPeer(wait_, peer_, counter, target);
}

void SharedMessageEnd::Close() {
  closed_ = true;
  my_left_->store(1);
  area_.header()->sent.Wake();
  area_.header()->taken.Wake();
}

SharedMessageSender::SharedMessageSender(SharedWait wait, int peer,
                                         SharedMessageArea area)
    : end_(std::move(wait), peer, area.memory, area,
           &area.header()->sender_left, &area.header()->receiver_left) {}

bool SharedMessageSender::Send(std::span<const std::byte> message) {
  const SharedMessageArea& area = end_.area();
  CHECK_LE(message.size(), area.max_bytes);
  // What was sent before the last has been taken.
  if (!end_.Await(&area.header()->taken, num_sent_ - 1)) return false;
  std::memcpy(area.message(num_sent_ % 2), message.data(), message.size());
  ++num_sent_;
  area.header()->sent.Advance();
  return true;
}

SharedMessageReceiver::SharedMessageReceiver(
    SharedWait wait, int peer, std::shared_ptr<SharedMemory> peer_memory,
    SharedMessageArea area)
    : end_(std::move(wait), peer, std::move(peer_memory), area,
           &area.header()->receiver_left, &area.header()->sender_left) {}

bool SharedMessageReceiver::Receive(std::span<std::byte> message) {
  const SharedMessageArea& area = end_.area();
  CHECK_LE(message.size(), area.max_bytes);
  if (!end_.Await(&area.header()->sent, num_received_ + 1)) return false;
  std::memcpy(message.data(), area.message(num_received_ % 2), message.size());
  ++num_received_;
  area.header()->taken.Advance();
  return true;
}

}  // namespace quatrain
