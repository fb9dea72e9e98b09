#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "worker/message_path.h"
#include "worker/shared_wait.h"

namespace quatrain {

// Messages through memory that the two processes share; the receiver made it.
struct SharedMessageArea {
  std::shared_ptr<SharedMemory> memory;
  size_t offset = 0;  // a multiple of 64
  size_t max_bytes = 0;

  static int64_t Bytes(size_t max_bytes);
  // For the owner, before anybody else maps it. The memory is all zero.
  void Prepare() const;

  struct Header;
  Header* header() const;
  // Of message 0 or 1.
  std::byte* message(int slot) const;
};

// What both ends of such a path do: wait for the other, and leave.
class SharedMessageEnd {
 public:
  // `peer_memory` is any that the peer made: it tells whether that lives.
  // `my_left` and `peer_left` lie in the area.
  SharedMessageEnd(SharedWait wait, int peer,
                   std::shared_ptr<SharedMemory> peer_memory,
                   SharedMessageArea area, std::atomic<uint32_t>* my_left,
                   const std::atomic<uint32_t>* peer_left);
  ~SharedMessageEnd() { Close(); }

  // False after a fault, or once this end is closed.
  bool Await(SharedCounter* counter, uint32_t target);
  void Close();

  const SharedMessageArea& area() const { return area_; }

 private:
  const SharedWait wait_;
  const SharedMessageArea area_;
  std::atomic<uint32_t>* const my_left_;
  std::atomic<bool> closed_{false};
  const SharedPeer peer_;
  const FaultHook hook_;  // closes
};

class SharedMessageSender final : public MessageSender {
 public:
  SharedMessageSender(SharedWait wait, int peer, SharedMessageArea area);

  bool Send(std::span<const std::byte> message) override;
  void Close() override { end_.Close(); }

 private:
  SharedMessageEnd end_;
  uint32_t num_sent_ = 0;
};

class SharedMessageReceiver final : public MessageReceiver {
 public:
  // `peer_memory` as above.
  SharedMessageReceiver(SharedWait wait, int peer,
                        std::shared_ptr<SharedMemory> peer_memory,
                        SharedMessageArea area);

  bool Receive(std::span<std::byte> message) override;
  void Close() override { end_.Close(); }

 private:
  SharedMessageEnd end_;
  uint32_t num_received_ = 0;
};

}  // namespace quatrain
