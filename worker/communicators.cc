#include "worker/communicators.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/gloo_context.h"
#include "worker/gloo_stage_link.h"
#include "worker/gloo_tensor_group.h"
#include "worker/memory_stage_link.h"
#include "worker/rank_id_channel.h"
#include "worker/solo_tensor_group.h"
#include "worker/thread_tensor_group.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;

// What a rank talks to, and how, follows from the layout alone.
struct Seat {
  Seat(const GroupLayout& layout, int rank)
      : layout(layout),
        rank(rank),
        place(layout.places[rank]),
        stage_ranks(layout.RanksOf(place.stage)),
        previous(layout.PreviousOf(rank)),
        next(layout.NextOf(rank)) {
    for (int s = 0; s < layout.num_stages(); ++s) {
      first_ranks.push_back(layout.RanksOf(s).front());
    }
  }

  bool IsLocal(int other) const {
    return layout.places[other].process == place.process;
  }
  bool StageIsLocal() const {
    return std::all_of(stage_ranks.begin(), stage_ranks.end(),
                       [&](int r) { return IsLocal(r); });
  }
  bool is_first() const { return place.tp_rank == 0; }
  bool is_sampling() const { return rank == layout.sampling_rank(); }

  // Ranks of other processes, ascending.
  std::vector<int> TensorPeers() const {
    std::vector<int> peers;
    if (StageIsLocal()) return peers;
    for (const int r : stage_ranks) {
      if (r != rank) peers.push_back(r);  // all ranks use Gloo, or none
    }
    return peers;
  }
  std::vector<int> LinkPeers() const {
    std::vector<int> peers;
    if (previous >= 0 && !IsLocal(previous)) peers.push_back(previous);
    for (const int r : next) {
      if (!IsLocal(r)) peers.push_back(r);
    }
    return peers;
  }
  std::vector<int> IdPeers() const {
    std::vector<int> peers;
    if (is_sampling()) {
      for (const int r : first_ranks) {
        if (!IsLocal(r)) peers.push_back(r);
      }
    } else if (is_first() && !IsLocal(layout.sampling_rank())) {
      peers.push_back(layout.sampling_rank());
    }
    return peers;
  }

  const GroupLayout& layout;
  const int rank;
  const GroupLayout::Place place;
  const std::vector<int> stage_ranks;
  const int previous;
  const std::vector<int> next;
  std::vector<int> first_ranks;
};

int64_t ResidualFloats(const CommunicatorOptions& options) {
  return int64_t{options.max_tokens} * options.hidden_size;
}

int64_t MaxAllReduce(const CommunicatorOptions& options) {
  return ResidualFloats(options) * sizeof(int64_t);
}

// The longest wait there is: ids come when they come. What ends it is a fault.
constexpr std::chrono::hours kForEver{10'000};

// Forms one rank's communicators; lives as long as that takes.
class Formation {
 public:
  Formation(const Seat& seat, ProcessHub* hub, KeyValueStore* store,
            const std::string& prefix, const CommunicatorOptions& options)
      : seat_(seat),
        hub_(hub),
        store_(store),
        prefix_(prefix),
        options_(options),
        deadline_(Clock::now() + options.form_timeout),
        fault_(std::make_shared<GroupFault>()) {
    hub_->Register(prefix_, fault_);
  }

  absl::StatusOr<Communicators> Run() {
    Communicators made;
    made.fault = fault_;
    RETURN_IF_ERROR(OpenContexts());
    ASSIGN_OR_RETURN(made.tensor_group, MakeTensorGroup());
    RETURN_IF_ERROR(MakeLinks(&made));
    if (seat_.is_first()) {
      ASSIGN_OR_RETURN(made.ids, MakeIdChannel());
    }
    made.buffer_bytes = CommunicatorBytes(seat_.layout, seat_.rank, options_);
    RETURN_IF_ERROR(fault_->status());
    return made;
  }

 private:
  // Connects to the peers in other processes, purpose by purpose. All ranks
  // listen on everything before any connects.
  absl::Status OpenContexts() {
    RETURN_IF_ERROR(Open("tensor group", seat_.TensorPeers(),
                         options_.step_timeout, &tensor_context_));
    RETURN_IF_ERROR(Open("stage link", seat_.LinkPeers(),
                         options_.stage_timeout, &link_context_));
    RETURN_IF_ERROR(
        Open("id channel", seat_.IdPeers(), kForEver, &id_context_));
    for (const auto& context : {tensor_context_, link_context_, id_context_}) {
      if (context == nullptr) continue;
      RETURN_IF_ERROR(context->Connect(store_, KeyOf(*context), deadline_));
    }
    return absl::OkStatus();
  }

  absl::Status Open(const char* name, const std::vector<int>& peers,
                    std::chrono::milliseconds timeout,
                    std::shared_ptr<GlooContext>* context) {
    if (peers.empty()) return absl::OkStatus();
    if (device_ == nullptr) {
      ASSIGN_OR_RETURN(device_, OpenGlooDevice(options_.data_host));
    }
    GlooContext::Options options;
    options.name = name;
    options.rank = seat_.rank;
    options.num_ranks = seat_.layout.num_ranks();
    options.peers = peers;
    options.timeout = timeout;
    ASSIGN_OR_RETURN(*context, GlooContext::Create(device_, options, fault_));
    return (*context)->Publish(store_, KeyOf(**context));
  }

  std::string KeyOf(const GlooContext& context) const {
    return absl::StrCat(prefix_, "/", context.options().name);
  }

  absl::StatusOr<std::unique_ptr<TensorGroup>> MakeTensorGroup() {
    const int size = static_cast<int>(seat_.stage_ranks.size());
    if (size == 1) return std::make_unique<SoloTensorGroup>(fault_);
    if (tensor_context_ != nullptr) {
      return std::make_unique<GlooTensorGroup>(tensor_context_,
                                               seat_.stage_ranks.front(), size,
                                               MaxAllReduce(options_));
    }
    ThreadTensorGroupOptions options;
    options.rank = seat_.place.tp_rank;
    options.first_rank = seat_.stage_ranks.front();
    options.timeout = options_.step_timeout;
    options.spin = options_.spin && size <= NumCores();
    ASSIGN_OR_RETURN(
        auto state,
        hub_->Meet<ThreadGroupState>(
            absl::StrCat(prefix_, "/tensor group of stage ", seat_.place.stage),
            size, fault_, deadline_,
            [&] { return std::make_shared<ThreadGroupState>(size); }));
    return std::make_unique<ThreadTensorGroup>(std::move(state), fault_,
                                               options);
  }

  static int NumCores() {
    return static_cast<int>(std::thread::hardware_concurrency());
  }

  absl::Status MakeLinks(Communicators* made) {
    if (seat_.previous >= 0) {
      ASSIGN_OR_RETURN(made->from_previous, MakeLinkFrom(seat_.previous));
    }
    for (const int next : seat_.next) {
      ASSIGN_OR_RETURN(auto link, MakeLinkTo(next));
      made->to_next.push_back(std::move(link));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<StageLink>> MakeLinkFrom(int peer) {
    if (seat_.IsLocal(peer)) return MakeMemoryLink(peer, seat_.rank, peer);
    return GlooStageLink::FromPrevious(
        link_context_, peer, ResidualFloats(options_) * sizeof(float));
  }

  absl::StatusOr<std::unique_ptr<StageLink>> MakeLinkTo(int peer) {
    if (seat_.IsLocal(peer)) return MakeMemoryLink(seat_.rank, peer, peer);
    return GlooStageLink::ToNext(link_context_, peer);
  }

  absl::StatusOr<std::unique_ptr<StageLink>> MakeMemoryLink(int from, int to,
                                                            int peer) {
    ASSIGN_OR_RETURN(
        auto pipe,
        hub_->Meet<MemoryPipe>(
            absl::StrCat(prefix_, "/link from rank ", from, " to ", to), 2,
            fault_, deadline_, [&] {
              return std::make_shared<MemoryPipe>(ResidualFloats(options_));
            }));
    return std::make_unique<MemoryStageLink>(std::move(pipe), fault_, peer,
                                             options_.stage_timeout);
  }

  absl::StatusOr<std::unique_ptr<IdChannel>> MakeIdChannel() {
    RankIdChannel::Parts parts;
    parts.sampling_rank = seat_.layout.sampling_rank();
    parts.max_num_seqs = options_.max_num_seqs;
    parts.timeout = options_.stage_timeout;
    ASSIGN_OR_RETURN(parts.inbox, IdQueueTo(seat_.rank));
    if (seat_.is_sampling()) {
      RETURN_IF_ERROR(AddIdReceivers(&parts));
    } else if (!seat_.IsLocal(parts.sampling_rank)) {
      parts.receiver = std::make_unique<GlooIdReceiver>(
          id_context_, parts.sampling_rank, options_.max_num_seqs, parts.inbox);
    }
    return std::make_unique<RankIdChannel>(std::move(parts), fault_);
  }

  absl::Status AddIdReceivers(RankIdChannel::Parts* parts) {
    for (const int rank : seat_.first_ranks) {
      if (rank == seat_.rank) {
        parts->local.push_back(parts->inbox);
      } else if (seat_.IsLocal(rank)) {
        ASSIGN_OR_RETURN(auto queue, IdQueueTo(rank));
        parts->local.push_back(std::move(queue));
      } else {
        parts->remote.push_back(std::make_unique<GlooIdSender>(
            id_context_, rank, options_.max_num_seqs));
      }
    }
    return absl::OkStatus();
  }

  // The queue that `rank` of this process reads; the sampling rank shares it
  // where it lives here too.
  absl::StatusOr<std::shared_ptr<SamplesQueue>> IdQueueTo(int rank) {
    const int sampling = seat_.layout.sampling_rank();
    const int num_ranks = rank != sampling && seat_.IsLocal(sampling) ? 2 : 1;
    return hub_->Meet<SamplesQueue>(
        absl::StrCat(prefix_, "/ids to rank ", rank), num_ranks, fault_,
        deadline_,
        [] { return std::make_shared<SamplesQueue>(kMaxSamplesInFlight); });
  }

  const Seat& seat_;
  ProcessHub* const hub_;
  KeyValueStore* const store_;
  const std::string& prefix_;
  const CommunicatorOptions& options_;
  const Clock::time_point deadline_;
  const std::shared_ptr<GroupFault> fault_;
  // Contexts hold the device; parts hold their context.
  std::shared_ptr<gloo::transport::Device> device_;
  std::shared_ptr<GlooContext> tensor_context_, link_context_, id_context_;
};

absl::Status CheckArguments(const GroupLayout& layout, int my_rank) {
  if (!layout.IsOrdered()) {
    return absl::InvalidArgumentError(
        "group layout: ranks are not in order of stage and tensor rank");
  }
  if (my_rank < 0 || my_rank >= layout.num_ranks()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", my_rank, " of a group of ", layout.num_ranks()));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t CommunicatorBytes(const GroupLayout& layout, int my_rank,
                          const CommunicatorOptions& options) {
  const Seat seat(layout, my_rank);
  int64_t bytes = 0;
  if (!seat.StageIsLocal()) {
    bytes += GlooTensorGroup::BufferBytes(
        static_cast<int>(seat.stage_ranks.size()), MaxAllReduce(options));
  }
  // A link's two messages count on the receiving rank, in memory too.
  if (seat.previous >= 0) {
    bytes += 2 * ResidualFloats(options) * sizeof(float);
  }
  // Each end of a path of ids holds up to three messages.
  bytes += 3 * seat.IdPeers().size() * IdMessageBytes(options.max_num_seqs);
  return bytes;
}

absl::StatusOr<Communicators> FormCommunicators(
    const GroupLayout& layout, int my_rank, ProcessHub* hub,
    KeyValueStore* store, const std::string& prefix,
    const CommunicatorOptions& options) {
  RETURN_IF_ERROR(CheckArguments(layout, my_rank));
  const Seat seat(layout, my_rank);
  Formation formation(seat, hub, store, prefix, options);
  auto made = formation.Run();
  if (!made.ok()) {
    // The other ranks of this process need not wait for their deadline.
    hub->Abort(prefix, absl::UnavailableError(
                           absl::StrCat("rank ", my_rank, ": ",
                                        std::string(made.status().message()))));
  }
  return made;
}

}  // namespace quatrain
