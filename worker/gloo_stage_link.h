#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/gloo_context.h"
#include "worker/stage_link.h"

namespace quatrain {

// The ends of a one-way path of messages to another process, in order. The
// receiver has room for two, and tells the sender when it has taken one.
class GlooSendEnd {
 public:
  // The context may carry other paths too, but none with the same peer.
  GlooSendEnd(std::shared_ptr<GlooContext> context, int peer);
  ~GlooSendEnd();

  // Returns when the message is on its way. False after a fault.
  bool Send(std::span<const std::byte> message);

 private:
  const std::shared_ptr<GlooContext> context_;
  const int peer_;
  uint64_t num_sent_ = 0;
  std::byte taken_{};
  std::unique_ptr<GlooBuffer> taken_buffer_;
};

class GlooReceiveEnd {
 public:
  GlooReceiveEnd(std::shared_ptr<GlooContext> context, int peer,
                 size_t max_bytes);
  ~GlooReceiveEnd();

  // Fills `message`, whose size must be that of what was sent. False after a
  // fault.
  bool Receive(std::span<std::byte> message);

 private:
  const std::shared_ptr<GlooContext> context_;
  const size_t max_bytes_;
  uint64_t num_received_ = 0;
  std::byte taken_{};
  std::array<std::vector<std::byte>, 2> memory_;
  std::array<std::unique_ptr<GlooBuffer>, 2> buffers_;
  std::unique_ptr<GlooBuffer> taken_buffer_;
};

// A stage link between processes. Rows of the residual must be contiguous.
class GlooStageLink final : public StageLink {
 public:
  // Sends to `peer`, or receives from it. One context carries all links of a
  // rank.
  static std::unique_ptr<StageLink> ToNext(std::shared_ptr<GlooContext> context,
                                           int peer);
  static std::unique_ptr<StageLink> FromPrevious(
      std::shared_ptr<GlooContext> context, int peer, size_t max_bytes);

  void Send(MatrixView residual) override;
  void Receive(MatrixView residual) override;
  absl::Status status() const override { return context_->fault().status(); }

 private:
  explicit GlooStageLink(std::shared_ptr<GlooContext> context);

  const std::shared_ptr<GlooContext> context_;
  std::unique_ptr<GlooSendEnd> send_;
  std::unique_ptr<GlooReceiveEnd> receive_;
};

}  // namespace quatrain
