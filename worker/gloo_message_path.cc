#include "worker/gloo_message_path.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace quatrain {
namespace {

// Slots 0 and 1 carry messages in turn.
constexpr int kTakenSlot = 2;

}  // namespace

GlooMessageSender::GlooMessageSender(std::shared_ptr<GlooContext> context,
                                     int peer)
    : context_(std::move(context)),
      peer_(peer),
      taken_buffer_(context_->ReceiveBuffer(peer, kTakenSlot, {&taken_, 1})) {}

GlooMessageSender::~GlooMessageSender() { context_->Close(); }

bool GlooMessageSender::Send(std::span<const std::byte> message) {
  if (num_sent_ >= 2 && !taken_buffer_->WaitReceive()) return false;
  // Straight from the caller's memory. Gloo does not write to it.
  const auto buffer = context_->SendBuffer(
      peer_, num_sent_++ % 2,
      {const_cast<std::byte*>(message.data()), message.size()});
  if (buffer->Send(message.size()) && buffer->WaitSend()) return true;
  context_->Close();  // before the buffer goes
  return false;
}

GlooMessageReceiver::GlooMessageReceiver(std::shared_ptr<GlooContext> context,
                                         int peer, size_t max_bytes)
    : context_(std::move(context)), max_bytes_(max_bytes) {
  for (int slot = 0; slot < 2; ++slot) {
    memory_[slot].resize(max_bytes);
    buffers_[slot] = context_->ReceiveBuffer(peer, slot, memory_[slot]);
  }
  taken_buffer_ = context_->SendBuffer(peer, kTakenSlot, {&taken_, 1});
}

GlooMessageReceiver::~GlooMessageReceiver() { context_->Close(); }

bool GlooMessageReceiver::Receive(std::span<std::byte> message) {
  CHECK_LE(message.size(), max_bytes_);
  const int slot = num_received_++ % 2;
  if (!buffers_[slot]->WaitReceive()) return false;
  std::memcpy(message.data(), memory_[slot].data(), message.size());
  return taken_buffer_->Send(1) && taken_buffer_->WaitSend();
}

}  // namespace quatrain
