#pragma once

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

class SharedMessageSender final : public MessageSender {
 public:
  SharedMessageSender(SharedWait wait, int peer, SharedMessageArea area);
  ~SharedMessageSender() override { Close(); }

  bool Send(std::span<const std::byte> message) override;
  void Close() override;

 private:
  const SharedWait wait_;
  const SharedMessageArea area_;
  std::atomic<bool> closed_{false};
  const SharedPeer peer_;
  uint32_t num_sent_ = 0;
  const FaultHook hook_;  // closes
};

class SharedMessageReceiver final : public MessageReceiver {
 public:
  // `peer_memory` is any that the sender made: it tells whether that lives.
  SharedMessageReceiver(SharedWait wait, int peer,
                        std::shared_ptr<SharedMemory> peer_memory,
                        SharedMessageArea area);
  ~SharedMessageReceiver() override { Close(); }

  bool Receive(std::span<std::byte> message) override;
  void Close() override;

 private:
  const SharedWait wait_;
  const SharedMessageArea area_;
  std::atomic<bool> closed_{false};
  const SharedPeer peer_;
  uint32_t num_received_ = 0;
  const FaultHook hook_;  // closes
};

}  // namespace quatrain
