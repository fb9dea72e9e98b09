#include "worker/communicators.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "base/num_cores.h"
#include "base/status_macros.h"
#include "worker/gloo_context.h"
#include "worker/gloo_message_path.h"
#include "worker/gloo_rounds.h"
#include "worker/memory_stage_link.h"
#include "worker/process_stage_link.h"
#include "worker/rank_id_channel.h"
#include "worker/rounds_tensor_group.h"
#include "worker/seat.h"
#include "worker/shared_areas.h"
#include "worker/solo_tensor_group.h"
#include "worker/thread_tensor_group.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kTensorGroup[] = "tensor group";
constexpr char kStageLink[] = "stage link";
constexpr char kIdChannel[] = "id channel";

int64_t ResidualFloats(const CommunicatorOptions& options) {
  return int64_t{options.max_tokens} * options.hidden_size;
}

MessageSizes SizesOf(const CommunicatorOptions& options) {
  const int64_t floats = ResidualFloats(options);
  return {.piece = RoundsTensorGroup::PieceBytes(floats * sizeof(int64_t)),
          .residual = floats * sizeof(float),
          .ids = IdMessageBytes(options.max_num_seqs)};
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
        fault_(std::make_shared<GroupFault>()),
        memory_(seat.rank, seat.AllPeers()) {
    hub_->Register(prefix_, fault_);
  }

  absl::StatusOr<Communicators> Run() {
    Communicators made;
    made.fault = fault_;
    // Also where no data will go through it today.
    if (!seat_.AllPeers().empty())
      RETURN_IF_ERROR(CheckDataHost(options_.data_host));
    RETURN_IF_ERROR(OpenMemory());
    RETURN_IF_ERROR(OpenContexts());
    ASSIGN_OR_RETURN(made.tensor_group, MakeTensorGroup());
    RETURN_IF_ERROR(MakeLinks(&made));
    if (seat_.is_first()) {
      ASSIGN_OR_RETURN(made.ids, MakeIdChannel());
    }
    made.buffer_bytes = CommunicatorBytes(seat_.layout, seat_.rank, options_);
    RETURN_IF_ERROR(fault_->status());
    spdlog::info("rank {}: talks to its peers {}", seat_.rank, Ways());
    return made;
  }

 private:
  // For people: through what data goes.
  std::string Ways() const {
    const std::vector<int> peers = seat_.AllPeers();
    const auto num_shared = std::count_if(
        peers.begin(), peers.end(), [&](int r) { return memory_.Shares(r); });
    if (peers.empty()) return "within its process";
    if (device_ == nullptr) return "through memory of this host";
    return absl::StrCat("through Gloo on ", options_.data_host,
                        num_shared > 0 ? " and memory of this host" : "");
  }

  // Finds out who can share memory, and what lies in it.
  absl::Status OpenMemory() {
    const SharedAreas mine = AreasOf(seat_.rank);
    if (options_.share_memory && memory_.Make(mine.bytes()))
      mine.Prepare(memory_.of(seat_.rank));
    RETURN_IF_ERROR(memory_.Publish(store_, prefix_));
    return memory_.Agree(store_, prefix_, *fault_, deadline_);
  }

  SharedAreas AreasOf(int rank) const {
    return SharedAreas(Seat(seat_.layout, rank), SizesOf(options_));
  }

  // Connects to the peers that share no memory, purpose by purpose. All ranks
  // listen on everything before any connects.
  absl::Status OpenContexts() {
    if (!memory_.ShareAll(seat_.stage_ranks)) {
      RETURN_IF_ERROR(Open(kTensorGroup, seat_.TensorPeers(),
                           options_.step_timeout, &tensor_context_));
    }
    RETURN_IF_ERROR(Open(kStageLink, Apart(seat_.LinkPeers()),
                         options_.stage_timeout, &link_context_));
    RETURN_IF_ERROR(
        Open(kIdChannel, Apart(seat_.IdPeers()), kForEver, &id_context_));
    for (const auto& context : {tensor_context_, link_context_, id_context_}) {
      if (context == nullptr) continue;
      RETURN_IF_ERROR(context->Connect(store_, KeyOf(*context), deadline_));
    }
    return absl::OkStatus();
  }

  std::vector<int> Apart(std::vector<int> peers) const {
    std::erase_if(peers, [&](int peer) { return memory_.Shares(peer); });
    return peers;
  }

  absl::Status Open(const char* name, const std::vector<int>& peers,
                    milliseconds timeout,
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
    if (seat_.tp_size() == 1) return std::make_unique<SoloTensorGroup>(fault_);
    if (seat_.StageIsLocal()) return MakeThreadGroup();
    return std::make_unique<RoundsTensorGroup>(MakeRounds(),
                                               SizesOf(options_).piece);
  }

  std::unique_ptr<Rounds> MakeRounds() const {
    const int first_rank = seat_.stage_ranks.front();
    const size_t piece = SizesOf(options_).piece;
    if (tensor_context_ != nullptr) {
      return std::make_unique<GlooRounds>(tensor_context_, first_rank,
                                          seat_.tp_size(), piece);
    }
    std::vector<SharedRounds::Area> areas;
    for (const int r : seat_.stage_ranks)
      areas.push_back(AreasOf(r).Rounds(memory_.of(r)));
    const SharedWait wait = {kTensorGroup, options_.step_timeout, MaySpin(),
                             fault_};
    return std::make_unique<SharedRounds>(wait, seat_.place.tp_rank, first_rank,
                                          piece, areas);
  }

  absl::StatusOr<std::unique_ptr<TensorGroup>> MakeThreadGroup() {
    const int size = seat_.tp_size();
    ThreadTensorGroupOptions options;
    options.rank = seat_.place.tp_rank;
    options.first_rank = seat_.stage_ranks.front();
    options.timeout = options_.step_timeout;
    options.spin = MaySpin();
    ASSIGN_OR_RETURN(
        auto state,
        hub_->Meet<ThreadGroupState>(
            absl::StrCat(prefix_, "/tensor group of stage ", seat_.place.stage),
            size, fault_, deadline_,
            [&] { return std::make_shared<ThreadGroupState>(size); }));
    return std::make_unique<ThreadTensorGroup>(std::move(state), fault_,
                                               options);
  }

  bool MaySpin() const {
    return options_.spin && seat_.tp_size() <= NumCores();
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
    return std::make_unique<ProcessStageLink>(ReceiverOf(Residuals(), peer),
                                              fault_);
  }

  absl::StatusOr<std::unique_ptr<StageLink>> MakeLinkTo(int peer) {
    if (seat_.IsLocal(peer)) return MakeMemoryLink(seat_.rank, peer, peer);
    return std::make_unique<ProcessStageLink>(SenderOf(Residuals(), peer),
                                              fault_);
  }

  // What messages between processes are for, and both ways that they can go.
  struct Purpose {
    SharedWait wait;
    std::shared_ptr<GlooContext> context;  // null: all peers share memory
    SharedMessageArea (SharedAreas::*area)(std::shared_ptr<SharedMemory>) const;
    size_t max_bytes;
  };
  // Both block rather than spin: another stage computes for long.
  Purpose Residuals() const {
    return {{kStageLink, options_.stage_timeout, /*spin=*/false, fault_},
            link_context_,
            &SharedAreas::Residual,
            SizesOf(options_).residual};
  }
  Purpose Ids() const {
    return {{kIdChannel, kForEver, /*spin=*/false, fault_},
            id_context_,
            &SharedAreas::Ids,
            SizesOf(options_).ids};
  }

  std::unique_ptr<MessageSender> SenderOf(const Purpose& purpose,
                                          int peer) const {
    if (!memory_.Shares(peer))
      return std::make_unique<GlooMessageSender>(purpose.context, peer);
    return std::make_unique<SharedMessageSender>(
        purpose.wait, peer, (AreasOf(peer).*purpose.area)(memory_.of(peer)));
  }

  std::unique_ptr<MessageReceiver> ReceiverOf(const Purpose& purpose,
                                              int peer) const {
    if (!memory_.Shares(peer))
      return std::make_unique<GlooMessageReceiver>(purpose.context, peer,
                                                   purpose.max_bytes);
    return std::make_unique<SharedMessageReceiver>(
        purpose.wait, peer, memory_.of(peer),
        (AreasOf(seat_.rank).*purpose.area)(memory_.of(seat_.rank)));
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
      parts.receiver = std::make_unique<IdReceiver>(
          ReceiverOf(Ids(), parts.sampling_rank), options_.max_num_seqs,
          parts.inbox, fault_);
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
        parts->remote.push_back(std::make_unique<IdSender>(
            SenderOf(Ids(), rank), options_.max_num_seqs, fault_));
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
  HostMemory memory_;
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
    // Shared memory needs less.
    bytes += GlooRounds::BufferBytes(seat.tp_size(), SizesOf(options).piece);
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
