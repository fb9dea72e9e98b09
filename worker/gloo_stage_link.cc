#include "worker/gloo_stage_link.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace quatrain {
namespace {

// Slots 0 and 1 carry messages in turn.
constexpr int kTakenSlot = 2;

std::span<std::byte> BytesOf(MatrixView rows) {
  CHECK(rows.dtype == DType::kF32) << "the residual travels in f32";
  CHECK(rows.rows == 1 || rows.row_stride == rows.cols)
      << "rows of " << rows.cols << " every " << rows.row_stride;
  return {static_cast<std::byte*>(rows.data),
          static_cast<size_t>(rows.rows) * rows.cols * sizeof(float)};
}

}  // namespace

GlooSendEnd::GlooSendEnd(std::shared_ptr<GlooContext> context, int peer)
    : context_(std::move(context)),
      peer_(peer),
      taken_buffer_(context_->ReceiveBuffer(peer, kTakenSlot, {&taken_, 1})) {}

GlooSendEnd::~GlooSendEnd() { context_->Close(); }

bool GlooSendEnd::Send(std::span<const std::byte> message) {
  if (num_sent_ >= 2 && !taken_buffer_->WaitReceive()) return false;
  // Straight from the caller's memory. Gloo does not write to it.
  const auto buffer = context_->SendBuffer(
      peer_, num_sent_++ % 2,
      {const_cast<std::byte*>(message.data()), message.size()});
  if (buffer->Send(message.size()) && buffer->WaitSend()) return true;
  context_->Close();  // before the buffer goes
  return false;
}

GlooReceiveEnd::GlooReceiveEnd(std::shared_ptr<GlooContext> context, int peer,
                               size_t max_bytes)
    : context_(std::move(context)), max_bytes_(max_bytes) {
  for (int slot = 0; slot < 2; ++slot) {
    memory_[slot].resize(max_bytes);
    buffers_[slot] = context_->ReceiveBuffer(peer, slot, memory_[slot]);
  }
  taken_buffer_ = context_->SendBuffer(peer, kTakenSlot, {&taken_, 1});
}

GlooReceiveEnd::~GlooReceiveEnd() { context_->Close(); }

bool GlooReceiveEnd::Receive(std::span<std::byte> message) {
  CHECK_LE(message.size(), max_bytes_);
  const int slot = num_received_++ % 2;
  if (!buffers_[slot]->WaitReceive()) return false;
  std::memcpy(message.data(), memory_[slot].data(), message.size());
  return taken_buffer_->Send(1) && taken_buffer_->WaitSend();
}

GlooStageLink::GlooStageLink(std::shared_ptr<GlooContext> context)
    : context_(std::move(context)) {}

std::unique_ptr<StageLink> GlooStageLink::ToNext(
    std::shared_ptr<GlooContext> context, int peer) {
  std::unique_ptr<GlooStageLink> link(new GlooStageLink(context));
  link->send_ = std::make_unique<GlooSendEnd>(std::move(context), peer);
  return link;
}

std::unique_ptr<StageLink> GlooStageLink::FromPrevious(
    std::shared_ptr<GlooContext> context, int peer, size_t max_bytes) {
  std::unique_ptr<GlooStageLink> link(new GlooStageLink(context));
  link->receive_ =
      std::make_unique<GlooReceiveEnd>(std::move(context), peer, max_bytes);
  return link;
}

void GlooStageLink::Send(MatrixView residual) {
  CHECK(send_ != nullptr) << "this end receives";
  send_->Send(BytesOf(residual));
}

void GlooStageLink::Receive(MatrixView residual) {
  CHECK(receive_ != nullptr) << "this end sends";
  receive_->Receive(BytesOf(residual));
}

}  // namespace quatrain
