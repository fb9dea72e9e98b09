// What real ranks send and receive, held against the table of docs/steps.md.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/shard_plan.h"
#include "tests/support/for_each_rank.h"
#include "tests/worker/step_table.h"
#include "worker/engine.h"
#include "worker/rank.h"

namespace quatrain {
namespace {

// Pass calls on and write them down.
class RecordingGroup final : public TensorGroup {
 public:
  RecordingGroup(std::unique_ptr<TensorGroup> group, int hidden_size,
                 Lines* lines)
      : group_(std::move(group)), hidden_size_(hidden_size), lines_(lines) {}
  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  void AllReduceSum(std::span<int64_t> inout) override {
    lines_->push_back("sum-layers");
    group_->AllReduceSum(inout);
  }
  void AllReduceSum(std::span<int32_t> inout) override {
    const bool embedding = inout.size() % hidden_size_ == 0;
    lines_->push_back(embedding ? "sum-embedding" : "sum-ids");
    group_->AllReduceSum(inout);
  }
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override {
    lines_->push_back("gather-candidates");
    group_->AllGather(mine, sizes, all);
  }
  absl::Status status() const override { return group_->status(); }

 private:
  const std::unique_ptr<TensorGroup> group_;
  const size_t hidden_size_;
  Lines* const lines_;
};

class RecordingLink final : public StageLink {
 public:
  RecordingLink(std::unique_ptr<StageLink> link, std::string line, Lines* lines)
      : link_(std::move(link)), line_(std::move(line)), lines_(lines) {}
  void Send(MatrixView residual) override {
    lines_->push_back(line_);
    link_->Send(residual);
  }
  void Receive(MatrixView residual) override {
    lines_->push_back(line_);
    link_->Receive(residual);
  }
  absl::Status status() const override { return link_->status(); }

 private:
  const std::unique_ptr<StageLink> link_;
  const std::string line_;
  Lines* const lines_;
};

class RecordingIds final : public IdChannel {
 public:
  RecordingIds(std::unique_ptr<IdChannel> ids, Lines* lines)
      : ids_(std::move(ids)), lines_(lines) {}
  void Publish(const Samples& samples) override {
    lines_->push_back("publish-ids");
    ids_->Publish(samples);
  }
  absl::Status Receive(Samples* next) override {
    lines_->push_back("receive-ids");
    return ids_->Receive(next);
  }
  absl::Status status() const override { return ids_->status(); }

 private:
  const std::unique_ptr<IdChannel> ids_;
  Lines* const lines_;
};

void Record(const GroupLayout& layout, int rank, int hidden_size, Lines* lines,
            Communicators* made) {
  made->tensor_group = std::make_unique<RecordingGroup>(
      std::move(made->tensor_group), hidden_size, lines);
  if (made->from_previous) {
    made->from_previous = std::make_unique<RecordingLink>(
        std::move(made->from_previous), "receive-residual", lines);
  }
  const std::vector<int> next = layout.NextOf(rank);
  for (size_t i = 0; i < next.size(); ++i) {
    made->to_next[i] = std::make_unique<RecordingLink>(
        std::move(made->to_next[i]), absl::StrCat("send-residual ", next[i]),
        lines);
  }
  if (made->ids) {
    made->ids = std::make_unique<RecordingIds>(std::move(made->ids), lines);
  }
}

// A prompt of three tokens in two chunks, then tokens that continue.
std::vector<std::shared_ptr<const ReceivedPlan>> Plans(int count) {
  std::vector<std::shared_ptr<const ReceivedPlan>> plans;
  for (int step = 1; step <= count; ++step) {
    internal::v1::StepPlan plan;
    plan.set_epoch(1);
    plan.set_step_id(step);
    internal::v1::Chunk* chunk = plan.add_chunks();
    chunk->set_generation(1);
    if (step == 1) {
      chunk->add_new_blocks()->add_block_ids(0);
      chunk->mutable_sampling()->set_top_p(1);  // greedy
      chunk->mutable_prefill()->add_token_ids(5);
      chunk->mutable_prefill()->add_token_ids(6);
      chunk->mutable_logits_wanted()->set_rows(
          internal::v1::LogitsWanted::ROWS_NONE);
    } else {
      if (step == 2) {
        chunk->mutable_prefill()->add_token_ids(7);
        chunk->mutable_prefill()->set_start(2);
      } else {
        chunk->mutable_continue_()->set_sampled_by(step - 1);
      }
      chunk->mutable_logits_wanted()->set_rows(
          internal::v1::LogitsWanted::ROWS_LAST);
      chunk->mutable_logits_wanted()->set_draw(true);
    }
    plans.push_back(std::make_shared<const ReceivedPlan>(
        *ParsePlan(plan.SerializeAsString())));
  }
  return plans;
}

class StepOrderOfRanksTest : public testing::TestWithParam<std::vector<int>> {};

TEST_P(StepOrderOfRanksTest, RanksFollowTheTable) {
  const auto model = OpenModel("examples/tales-8m-awq");
  ASSERT_TRUE(model.ok()) << model.status();
  EngineSettings settings;
  settings.max_model_len = 64;
  settings.max_num_seqs = 2;
  const int num_stages = static_cast<int>(GetParam().size());
  const int num_layers = model->config.num_layers;
  for (int s = 0; s < num_stages; ++s) {
    settings.layout.stages.push_back(
        {{num_layers * s / num_stages, num_layers * (s + 1) / num_stages},
         std::vector<int64_t>(GetParam()[s], 1)});
  }
  const GroupLayout layout =
      LayoutOf(GetParam(), std::vector<int>(settings.layout.num_ranks(), 0));
  settings.ranks_on_host = layout.num_ranks();
  const std::vector<RankShard> shards =
      PlanShards(model->config, settings.layout);
  constexpr int kPlans = 8;

  std::vector<Lines> seen(layout.num_ranks());
  std::atomic<int> running{layout.num_ranks()};
  const CommunicatorOptions options =
      CommunicatorOptionsOf(model->config, settings);
  WithCommunicators(layout, options, [&](int r, Communicators& made) {
    Record(layout, r, model->config.hidden_size, &seen[r], &made);
    std::vector<RankShard> stage;
    for (const int peer : layout.RanksOf(layout.places[r].stage)) {
      stage.push_back(shards[peer]);
    }
    const auto sources = OpenShard(*model, shards[r]);
    ASSERT_TRUE(sources.ok()) << sources.status();
    const ActivationShape shape = ActivationShape::Of(
        model->config, shards[r], settings.max_num_batched_tokens);
    const auto backend = MakeBackend(settings, shape, int64_t{1} << 30);
    ASSERT_TRUE(backend.ok()) << backend.status();
    const auto buffers = AllocateActivationBuffers(shape, (*backend)->memory());
    const auto weights = LoadShard(*sources, **backend, {});
    const auto kv =
        KvCache::Create(KvSpecsOf(model->config, shards[r], settings.kv_dtype),
                        8, settings.block_size, (*backend)->memory());
    ASSERT_TRUE(buffers.ok() && weights.ok() && kv.ok());
    DecoderPeers peers{.group = made.tensor_group.get(),
                       .from_previous = made.from_previous.get()};
    for (const auto& link : made.to_next) peers.to_next.push_back(link.get());
    Decoder decoder(model->config, *weights,
                    StageVocab::Of(model->config, stage), *kv, **backend,
                    *buffers, peers);
    RankEngine engine({.rank = r,
                       .first_stage = shards[r].first_stage,
                       .samples = r == layout.sampling_rank(),
                       .limits = {.epoch = 1,
                                  .num_slots = settings.max_num_seqs,
                                  .num_blocks = 8,
                                  .block_size = settings.block_size,
                                  .max_tokens = settings.max_num_batched_tokens,
                                  .max_context = settings.max_model_len,
                                  .vocab_size = model->config.vocab_size}},
                      &decoder, backend->get(), &*buffers, &made,
                      [](const internal::v1::StepResult& result) {
                        EXPECT_FALSE(result.has_fault())
                            << result.fault().message();
                      });
    for (const auto& plan : Plans(kPlans)) EXPECT_TRUE(engine.Submit(plan));
    while (engine.last_step() < kPlans && made.status().ok()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(made.status(), absl::OkStatus());
    --running;
    while (running > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });

  const Lines table = ReadTable();
  for (int r = 0; r < layout.num_ranks(); ++r) {
    Lines expected;
    for (int step = 1; step <= kPlans; ++step) {
      const PlanFacts facts = {.messages_due = step > 2 ? 1 : 0,
                               .draws = step > 1};
      const Lines lines =
          Expected(table, layout, r, shards[r].layers.size(), facts);
      expected.insert(expected.end(), lines.begin(), lines.end());
    }
    EXPECT_EQ(seen[r], expected) << "rank " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, StepOrderOfRanksTest,
                         testing::Values(std::vector<int>{1},
                                         std::vector<int>{2},
                                         std::vector<int>{2, 2},
                                         std::vector<int>{1, 3},
                                         std::vector<int>{3, 1, 2}));

}  // namespace
}  // namespace quatrain
