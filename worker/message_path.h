#pragma once

#include <cstddef>
#include <span>

namespace quatrain {

// The two ends of a one-way path of messages to another process, in order. The
// receiver has room for two, of any size up to the one that the path was made
// for. One thread uses an end; another may close it.
class MessageSender {
 public:
  virtual ~MessageSender() = default;

  // Returns when the message is on its way; its memory is free then. Blocks
  // while the peer has not taken the one before the last. False after a fault.
  virtual bool Send(std::span<const std::byte> message) = 0;

  // From any thread: ends a wait, and the path.
  virtual void Close() = 0;
};

class MessageReceiver {
 public:
  virtual ~MessageReceiver() = default;

  // Fills `message`, whose size must be that of what was sent. False after a
  // fault.
  virtual bool Receive(std::span<std::byte> message) = 0;

  // As above.
  virtual void Close() = 0;
};

}  // namespace quatrain
