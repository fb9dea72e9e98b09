#include "worker/rank_id_channel.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace quatrain {
namespace {

// A message: header, max_num_seqs ids, max_num_seqs counts. Ranks have the same
// build, hence the same byte order.
struct Header {
  uint64_t step_id;
  uint32_t num_ids;
  uint32_t num_rows;
};

void Encode(const Samples& samples, int max_num_seqs,
            std::span<std::byte> message) {
  const Header header = {samples.step_id,
                         static_cast<uint32_t>(samples.token_ids.size()),
                         static_cast<uint32_t>(samples.counts.size())};
  std::byte* ids = message.data() + sizeof(Header);
  std::byte* counts = ids + max_num_seqs * sizeof(int32_t);
  std::memcpy(message.data(), &header, sizeof(header));
  if (header.num_ids > 0) {
    std::memcpy(ids, samples.token_ids.data(),
                header.num_ids * sizeof(int32_t));
  }
  if (header.num_rows > 0) {
    std::memcpy(counts, samples.counts.data(), header.num_rows);
  }
}

// False if the message is none of ours.
bool Decode(std::span<const std::byte> message, int max_num_seqs,
            Samples* samples) {
  Header header;
  std::memcpy(&header, message.data(), sizeof(header));
  const auto limit = static_cast<uint32_t>(max_num_seqs);
  if (header.num_ids > limit || header.num_rows > limit) return false;
  const std::byte* ids = message.data() + sizeof(Header);
  const std::byte* counts = ids + max_num_seqs * sizeof(int32_t);
  samples->step_id = header.step_id;
  samples->token_ids.resize(header.num_ids);
  samples->counts.resize(header.num_rows);
  if (header.num_ids > 0) {
    std::memcpy(samples->token_ids.data(), ids,
                header.num_ids * sizeof(int32_t));
  }
  if (header.num_rows > 0) {
    std::memcpy(samples->counts.data(), counts, header.num_rows);
  }
  return true;
}

}  // namespace

size_t IdMessageBytes(int max_num_seqs) {
  return sizeof(Header) + max_num_seqs * (sizeof(int32_t) + 1);
}

IdSender::IdSender(std::unique_ptr<MessageSender> end, int max_num_seqs,
                   std::shared_ptr<GroupFault> fault)
    : end_(std::move(end)),
      max_num_seqs_(max_num_seqs),
      message_(IdMessageBytes(max_num_seqs)),
      queue_(kMaxSamplesInFlight),
      hook_(std::move(fault), [this] { queue_.Close(); }),
      thread_([this] { Run(); }) {}

IdSender::~IdSender() {
  queue_.Close();
  end_->Close();
}

void IdSender::Run() {
  while (const auto samples = queue_.Pop()) {
    Encode(*samples, max_num_seqs_, message_);
    if (!end_->Send(message_)) return;
  }
}

IdReceiver::IdReceiver(std::unique_ptr<MessageReceiver> end, int max_num_seqs,
                       std::shared_ptr<SamplesQueue> queue,
                       std::shared_ptr<GroupFault> fault)
    : fault_(std::move(fault)),
      end_(std::move(end)),
      max_num_seqs_(max_num_seqs),
      message_(IdMessageBytes(max_num_seqs)),
      queue_(std::move(queue)),
      thread_([this] { Run(); }) {}

IdReceiver::~IdReceiver() {
  queue_->Close();
  end_->Close();
}

void IdReceiver::Run() {
  Samples samples;
  while (end_->Receive(message_)) {
    if (!Decode(message_, max_num_seqs_, &samples)) {
      fault_->Raise(absl::InternalError("id channel: a message is too long"));
      return;
    }
    if (!queue_->Push(samples)) return;
  }
}

RankIdChannel::RankIdChannel(Parts parts, std::shared_ptr<GroupFault> fault)
    : fault_(std::move(fault)),
      parts_(std::move(parts)),
      hook_(fault_, [this] { CloseQueues(); }) {}

RankIdChannel::~RankIdChannel() { CloseQueues(); }

void RankIdChannel::CloseQueues() {
  parts_.inbox->Close();
  for (const auto& queue : parts_.local) queue->Close();
}

void RankIdChannel::Publish(const Samples& samples) {
  CHECK(!parts_.local.empty()) << "only the sampling rank publishes";
  CHECK_LE(samples.token_ids.size(), parts_.max_num_seqs);
  CHECK_LE(samples.counts.size(), parts_.max_num_seqs);
  if (fault_->raised()) return;
  bool room = true;
  Samples copy;
  for (const auto& queue : parts_.local) {
    copy = samples;
    room = queue->TryPush(copy) && room;
  }
  for (const auto& sender : parts_.remote) {
    copy = samples;
    room = sender->queue().TryPush(copy) && room;
  }
  if (!room) {
    fault_->Raise(absl::UnavailableError(
        "id channel: a first rank has left or is too many samples behind"));
  }
}

absl::Status RankIdChannel::Receive(Samples* next) {
  if (fault_->raised()) return fault_->status();
  if (auto samples = parts_.inbox->PopFor(parts_.timeout)) {
    *next = *std::move(samples);
    return absl::OkStatus();
  }
  if (parts_.inbox->closed()) {
    fault_->Raise(
        absl::UnavailableError(absl::StrCat(
            "id channel: rank ", parts_.sampling_rank, " has left it")),
        parts_.sampling_rank);
  } else {
    fault_->Raise(
        absl::DeadlineExceededError(absl::StrCat(
            "id channel: no sampled ids from rank ", parts_.sampling_rank,
            " within ", parts_.timeout.count(), " ms")),
        parts_.sampling_rank);
  }
  return fault_->status();
}

}  // namespace quatrain
