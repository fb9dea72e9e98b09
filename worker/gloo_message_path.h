#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/gloo_context.h"
#include "worker/message_path.h"

namespace quatrain {

// Messages over one of Gloo's connections. The receiver tells the sender when
// it has taken one.
class GlooMessageSender final : public MessageSender {
 public:
  // The context may carry other paths too, but none with the same peer.
  GlooMessageSender(std::shared_ptr<GlooContext> context, int peer);
  ~GlooMessageSender() override;

  bool Send(std::span<const std::byte> message) override;
  void Close() override { context_->Close(); }

 private:
  const std::shared_ptr<GlooContext> context_;
  const int peer_;
  uint64_t num_sent_ = 0;
  std::byte taken_{};
  std::unique_ptr<GlooBuffer> taken_buffer_;
};

class GlooMessageReceiver final : public MessageReceiver {
 public:
  GlooMessageReceiver(std::shared_ptr<GlooContext> context, int peer,
                      size_t max_bytes);
  ~GlooMessageReceiver() override;

  bool Receive(std::span<std::byte> message) override;
  void Close() override { context_->Close(); }

 private:
  const std::shared_ptr<GlooContext> context_;
  const size_t max_bytes_;
  uint64_t num_received_ = 0;
  std::byte taken_{};
  std::array<std::vector<std::byte>, 2> memory_;
  std::array<std::unique_ptr<GlooBuffer>, 2> buffers_;
  std::unique_ptr<GlooBuffer> taken_buffer_;
};

}  // namespace quatrain
