#include "model/shard_plan.h"

#include <algorithm>
#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/k_blocks.h"
#include "tests/kernels/cuda/rank_heads.h"

namespace quatrain {
namespace {

using testing::ElementsAre;

struct NamedConfig {
  const char* name;
  const char* architecture;
  int num_layers, hidden, intermediate, q_heads, kv_heads, head_dim, vocab;
  bool tied = false;
  int group_size = 128;
};

ModelConfig Config(const NamedConfig& n) {
  ModelConfig config;
  config.architecture = n.architecture;
  config.num_layers = n.num_layers;
  config.hidden_size = n.hidden;
  config.intermediate_size = n.intermediate;
  config.num_q_heads = n.q_heads;
  config.num_kv_heads = n.kv_heads;
  config.head_dim = n.head_dim;
  config.vocab_size = n.vocab;
  config.qkv_bias = std::string_view(n.architecture) == "Qwen2ForCausalLM";
  config.tie_word_embeddings = n.tied;
  config.mlp_group_size = n.group_size;
  config.sliding_window.assign(n.num_layers, 0);
  return config;
}

constexpr char kLlama[] = "LlamaForCausalLM";
constexpr char kQwen[] = "Qwen2ForCausalLM";

const NamedConfig kModels[] = {
    {"Llama-2-7B", kLlama, 32, 4096, 11008, 32, 32, 128, 32000},
    {"Llama-2-13B", kLlama, 40, 5120, 13824, 40, 40, 128, 32000},
    {"Llama-2-70B", kLlama, 80, 8192, 28672, 64, 8, 128, 32000},
    {"Llama-3-8B", kLlama, 32, 4096, 14336, 32, 8, 128, 128256},
    {"Llama-3-70B", kLlama, 80, 8192, 28672, 64, 8, 128, 128256},
    {"Mistral-7B", "MistralForCausalLM", 32, 4096, 14336, 32, 8, 128, 32000},
    {"Yi-34B", kLlama, 60, 7168, 20480, 56, 8, 128, 64000},
    {"Qwen2.5-7B", kQwen, 28, 3584, 18944, 28, 4, 128, 152064},
    {"Qwen2-72B", kQwen, 80, 8192, 29568, 64, 8, 128, 152064},
    {"Qwen2.5-0.5B-tied", kQwen, 24, 896, 4864, 14, 2, 64, 151936, true},
    {"Qwen2.5-0.5B-g32", kQwen, 24, 896, 4864, 14, 2, 64, 151936, true, 32},
    {"tales", kLlama, 8, 256, 768, 4, 2, 64, 4096},
    {"odd", kLlama, 3, 80, 200, 5, 5, 10, 1000, false, 0},
};

// One whole logical tensor, cell by cell but compressed: the slices of it.
using SlicesByName = std::map<std::string, std::vector<TensorSlice>>;

std::string Key(const TensorSlice& slice) {
  return slice.name + (slice.kind == TensorSlice::kBias ? ".bias" : "");
}

// Sorted ranges must follow each other from 0 to `size`.
void ExpectPartition(std::vector<Range> ranges, int size,
                     const std::string& what) {
  std::sort(ranges.begin(), ranges.end(),
            [](Range a, Range b) { return a.begin < b.begin; });
  int next = 0;
  for (const Range& range : ranges) {
    EXPECT_EQ(range.begin, next) << what;
    next = range.end;
  }
  EXPECT_EQ(next, size) << what;
}

// As ExpectPartition, but neighbours may share whole units of `unit`.
void ExpectCover(std::vector<Range> ranges, int size, int unit,
                 const std::string& what) {
  std::sort(ranges.begin(), ranges.end(), [](Range a, Range b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int next = 0;
  for (const Range& range : ranges) {
    EXPECT_LE(range.begin, next) << what;
    EXPECT_GE(range.begin, next - unit) << what;
    EXPECT_EQ(range.begin % unit, 0) << what;
    next = std::max(next, range.end);
  }
  EXPECT_EQ(next, size) << what;
}

bool EndsWith(const std::string& name, const char* suffix) {
  return name.ends_with(suffix);
}

Range Divided(Range range, int unit) {
  EXPECT_EQ(range.begin % unit, 0);
  EXPECT_EQ(range.end % unit, 0);
  return {range.begin / unit, range.end / unit};
}

// How the slices of one rank belong together.
void CheckRank(const ModelConfig& config, const RankShard& shard) {
  std::map<std::string, TensorSlice> slices;
  for (const TensorSlice& slice : SlicesOf(config, shard)) {
    slices[Key(slice)] = slice;
    if (slice.num_rows != config.vocab_size) continue;
    // Log-sum-exps are taken over tiles, so no tile is on two ranks.
    EXPECT_EQ(slice.rows.begin % 256, 0) << slice.name;
    EXPECT_TRUE(slice.rows.end % 256 == 0 ||
                slice.rows.end == config.vocab_size)
        << slice.name;
  }
  // An absent slice reads as an empty one.
  const int per_kv = config.num_q_heads / config.num_kv_heads;
  for (int layer = shard.layers.begin; layer < shard.layers.end; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const std::string mlp = prefix + "mlp.", attention = prefix + "self_attn.";
    const Range inner = slices[mlp + "down_proj"].columns;
    EXPECT_EQ(slices[mlp + "gate_proj"].rows, inner) << mlp;
    EXPECT_EQ(slices[mlp + "up_proj"].rows, inner) << mlp;
    const Range q_rows = slices[attention + "q_proj"].rows;
    EXPECT_EQ(slices[attention + "o_proj"].columns, q_rows) << attention;
    const Range k_rows = slices[attention + "k_proj"].rows;
    EXPECT_EQ(slices[attention + "v_proj"].rows, k_rows) << attention;
    const Range q = Divided(q_rows, config.head_dim);
    const Range kv = Divided(k_rows, config.head_dim);
    // A KV head is where a query head of its group is, and nowhere else: ranks
    // share one only if they share its group.
    for (int head = 0; head < config.num_kv_heads; ++head) {
      const bool is_read =
          q.begin < (head + 1) * per_kv && head * per_kv < q.end && !q.empty();
      EXPECT_EQ(kv.begin <= head && head < kv.end, is_read)
          << attention << " KV head " << head;
    }
  }
}

// What every plan must satisfy.
void CheckPlan(const ModelConfig& config, const Layout& layout) {
  const std::vector<RankShard> shards = PlanShards(config, layout);
  ASSERT_EQ(static_cast<int>(shards.size()), layout.num_ranks());
  // BlocksWithin aborts unless a cut of k falls between blocks.
  const int group = config.mlp_group_size;
  const std::vector<int> o_blocks =
      KBlockEnds(config.q_size(), group, config.head_dim);
  std::map<int, std::vector<int>> blocks;
  for (const int k : {config.hidden_size, config.intermediate_size})
    blocks[k] = KBlockEnds(k, group, 0);
  SlicesByName all;
  for (const RankShard& shard : shards) {
    CheckRank(config, shard);
    for (const TensorSlice& slice : SlicesOf(config, shard)) {
      EXPECT_FALSE(slice.rows.empty() || slice.columns.empty());
      EXPECT_LE(slice.rows.end, slice.num_rows) << slice.name;
      EXPECT_LE(slice.columns.end, slice.num_columns) << slice.name;
      if (slice.kind == TensorSlice::kLinear && slice.head_dim == 0)
        BlocksWithin(blocks.at(slice.num_columns), slice.columns);
      if (slice.head_dim != 0) BlocksWithin(o_blocks, slice.columns);
      all[Key(slice)].push_back(slice);
    }
  }
  for (const auto& [name, slices] : all) {
    std::vector<Range> rows, columns;
    for (const TensorSlice& slice : slices) {
      rows.push_back(slice.rows);
      columns.push_back(slice.columns);
    }
    const TensorSlice& first = slices[0];
    const bool row_parallel =
        EndsWith(name, ".o_proj") || EndsWith(name, ".down_proj");
    if (row_parallel) {
      for (const Range& range : rows)
        EXPECT_EQ(range, (Range{0, first.num_rows})) << name;
      ExpectPartition(columns, first.num_columns, name);
      continue;
    }
    for (const Range& range : columns)
      EXPECT_EQ(range, (Range{0, first.num_columns})) << name;
    if (first.kind == TensorSlice::kVector || EndsWith(name, "o_proj.bias") ||
        EndsWith(name, "down_proj.bias")) {
      for (const Range& range : rows)  // whole on every rank of its stage
        EXPECT_EQ(range, (Range{0, first.num_rows})) << name;
    } else if (EndsWith(name, "k_proj") || EndsWith(name, "v_proj") ||
               EndsWith(name, "k_proj.bias") || EndsWith(name, "v_proj.bias")) {
      ExpectCover(rows, first.num_rows, config.head_dim, name);
    } else if (name == "model.embed_tokens" && config.tie_word_embeddings &&
               layout.pp_size() > 1) {
      // The first and the last stage each hold it once, cut by their shares.
      std::vector<Range> head, embedding;
      for (const RankShard& shard : shards) {
        if (shard.first_stage) embedding.push_back(shard.embedding);
        if (shard.last_stage) head.push_back(shard.lm_head);
      }
      ExpectPartition(embedding, first.num_rows, name);
      ExpectPartition(head, first.num_rows, name);
    } else {
      ExpectPartition(rows, first.num_rows, name);
    }
  }
  // Norms, linears and their biases of every layer, and the ends.
  const int per_layer = 9 + (config.qkv_bias ? 3 : 0);
  const int ends = config.tie_word_embeddings ? 2 : 3;
  EXPECT_EQ(static_cast<int>(all.size()), config.num_layers * per_layer + ends);
}

// Heads: every query head once, each with the KV head that the model gives it.
void CheckHeads(const ModelConfig& config, const Layout& layout) {
  const int per_kv = config.num_q_heads / config.num_kv_heads;
  for (int stage = 0; stage < layout.pp_size(); ++stage) {
    int next = 0;
    for (const RankShard& shard : PlanShards(config, layout)) {
      if (shard.stage != stage) continue;
      for (const AttentionGroup& group : shard.attention) {
        EXPECT_GT(group.count, 0);
        EXPECT_LT(group.kv_head, shard.kv_heads.size());
        for (int i = 0; i < group.count; ++i, ++next) {
          EXPECT_EQ(shard.q_heads.begin + group.first_query_head + i, next);
          EXPECT_EQ(shard.kv_heads.begin + group.kv_head, next / per_kv);
        }
      }
      EXPECT_EQ(shard.q_heads.end, next);
      EXPECT_EQ(shard.attention.size(),
                static_cast<size_t>(shard.kv_heads.size()));
    }
    EXPECT_EQ(next, config.num_q_heads);
  }
}

class ShardPlanTest : public testing::TestWithParam<NamedConfig> {};

TEST_P(ShardPlanTest, EqualSharesCoverEveryTensorOnce) {
  const ModelConfig config = Config(GetParam());
  for (int tp = 1; tp <= 8; ++tp) {
    for (const int pp : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << "tp " << tp << " pp " << pp);
      const Layout layout =
          *MakeLayout({.tp = tp, .pp = pp}, config.num_layers);
      CheckPlan(config, layout);
      CheckHeads(config, layout);
    }
  }
}

TEST_P(ShardPlanTest, UnequalSharesCoverEveryTensorOnce) {
  const ModelConfig config = Config(GetParam());
  std::mt19937 random(1);
  for (int tp = 1; tp <= 8; ++tp) {
    for (int round = 0; round < 3; ++round) {
      Layout layout;
      const int pp = 1 + round;
      for (int stage = 0, begin = 0; stage < pp; ++stage) {
        const int left = config.num_layers - begin - (pp - 1 - stage);
        const int size =
            stage + 1 == pp ? left : 1 + static_cast<int>(random() % left);
        std::vector<int64_t> shares(tp);
        for (int64_t& share : shares) share = random() % 5;
        shares[random() % tp] = 3;  // not all zero
        layout.stages.push_back({{begin, begin + size}, shares});
        begin += size;
      }
      SCOPED_TRACE(Describe(layout));
      ASSERT_TRUE(CheckLayout(layout, config.num_layers).ok());
      CheckPlan(config, layout);
      CheckHeads(config, layout);
    }
  }
}

// Their header restates the cut, for builds without this library.
TEST_P(ShardPlanTest, KernelTestsCutHeadsAlike) {
  const ModelConfig config = Config(GetParam());
  for (const std::vector<int>& shares : std::vector<std::vector<int>>{
           {1}, {1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {5, 2, 1}, {40, 0, 1, 3}}) {
    const Layout layout{
        {{{0, config.num_layers}, {shares.begin(), shares.end()}}}};
    const std::vector<std::vector<QuatrainHeadUse>> ranks =
        RankHeads(config.num_q_heads, config.num_kv_heads, shares);
    for (const RankShard& shard : PlanShards(config, layout)) {
      std::vector<AttentionGroup> groups;
      for (const QuatrainHeadUse& use : ranks[shard.tp_rank])
        groups.push_back({use.kv_head, use.first_q_head, use.count});
      EXPECT_EQ(groups, shard.attention) << "rank " << shard.rank;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ShardPlanTest, testing::ValuesIn(kModels),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           for (char& c : name)
                             if (!isalnum(static_cast<unsigned char>(c)))
                               c = '_';
                           return name;
                         });

const ModelConfig ConfigOf(std::string_view name) {
  for (const NamedConfig& model : kModels)
    if (name == model.name) return Config(model);
  ADD_FAILURE() << name;
  return {};
}

std::vector<int> MlpSizes(const ModelConfig& config, const LayoutFlags& flags) {
  std::vector<int> sizes;
  for (const RankShard& shard :
       PlanShards(config, *MakeLayout(flags, config.num_layers)))
    sizes.push_back(shard.intermediate.size());
  return sizes;
}

TEST(ShardPlanTest, OddNumbersOfGroupsAreCutUnequally) {
  // 29568 = 231 groups of 128.
  EXPECT_THAT(MlpSizes(ConfigOf("Qwen2-72B"), {.tp = 2}),
              ElementsAre(116 * 128, 115 * 128));
  EXPECT_THAT(MlpSizes(ConfigOf("Llama-2-7B"), {.tp = 4}),
              ElementsAre(22 * 128, 22 * 128, 21 * 128, 21 * 128));
}

TEST(ShardPlanTest, SmallGroupsAllowFinerCuts) {
  EXPECT_THAT(MlpSizes(ConfigOf("Qwen2.5-0.5B-g32"), {.tp = 3}),
              ElementsAre(51 * 32, 51 * 32, 50 * 32));
  EXPECT_THAT(MlpSizes(ConfigOf("Qwen2.5-0.5B-tied"), {.tp = 3}),
              ElementsAre(13 * 128, 13 * 128, 12 * 128));
}

TEST(ShardPlanTest, SharesAreWeights) {
  // 112 groups in proportion 3 : 2 : 1 are 56, 37.33, 18.67.
  EXPECT_THAT(MlpSizes(ConfigOf("Llama-3-8B"), {.tp_shares = "3,2,1"}),
              ElementsAre(56 * 128, 37 * 128, 19 * 128));
}

TEST(ShardPlanTest, SomeRanksGetNothing) {
  const ModelConfig tales = ConfigOf("tales");
  const std::vector<RankShard> shards =
      PlanShards(tales, *MakeLayout({.tp = 7}, tales.num_layers));
  for (int rank = 0; rank < 7; ++rank) {
    EXPECT_EQ(shards[rank].q_heads.size(), rank < 4 ? 1 : 0);
    EXPECT_EQ(shards[rank].intermediate.size(), rank < 6 ? 128 : 0);
  }
  // A rank without heads has no attention tensors but keeps the norms.
  for (const TensorSlice& slice : SlicesOf(tales, shards[6]))
    EXPECT_EQ(slice.name.find("_proj"), std::string::npos) << slice.name;
  EXPECT_THAT(MlpSizes(tales, {.tp_shares = "1,0"}), ElementsAre(768, 0));
}

TEST(ShardPlanTest, YiAtSevenGivesEightHeadsToEveryRank) {
  const ModelConfig yi = ConfigOf("Yi-34B");
  const std::vector<RankShard> shards =
      PlanShards(yi, *MakeLayout({.tp = 7}, yi.num_layers));
  for (const RankShard& shard : shards) {
    EXPECT_EQ(shard.q_heads.size(), 8);
    EXPECT_EQ(shard.kv_heads.size(), 2);
  }
  // Heads 8..15: 8..13 read KV head 1, 14 and 15 read KV head 2.
  EXPECT_EQ(shards[1].kv_heads, (Range{1, 3}));
  EXPECT_THAT(shards[1].attention,
              ElementsAre(AttentionGroup{0, 0, 6}, AttentionGroup{1, 6, 2}));
}

TEST(ShardPlanTest, TheLastVocabularyTileMayBeShorter) {
  ModelConfig config = ConfigOf("tales");
  config.vocab_size = 1000;  // 3 tiles of 256 and one of 232
  const std::vector<RankShard> shards =
      PlanShards(config, *MakeLayout({.tp = 2, .pp = 2}, config.num_layers));
  EXPECT_EQ(shards[0].embedding, (Range{0, 512}));
  EXPECT_EQ(shards[1].embedding, (Range{512, 1000}));
  EXPECT_TRUE(shards[0].lm_head.empty());
  EXPECT_TRUE(shards[2].embedding.empty());
  EXPECT_EQ(shards[3].lm_head, (Range{512, 1000}));
}

TEST(ShardPlanTest, TiedWeightsAreHeldOnceOnOneStage) {
  const ModelConfig config = ConfigOf("Qwen2.5-0.5B-tied");
  const auto tables = [&](const LayoutFlags& flags) {
    int count = 0;
    for (const RankShard& shard :
         PlanShards(config, *MakeLayout(flags, config.num_layers)))
      for (const TensorSlice& slice : SlicesOf(config, shard))
        count += slice.kind == TensorSlice::kTable;
    return count;
  };
  EXPECT_EQ(tables({.tp = 1}), 1);
  EXPECT_EQ(tables({.tp = 2}), 2);
  EXPECT_EQ(tables({.tp = 1, .pp = 2}), 2);
}

TEST(KBlocksTest, EndAtMultiplesOf128GroupsAndHeads) {
  EXPECT_THAT(KBlockEnds(300, 0, 0), ElementsAre(128, 256, 300));
  EXPECT_THAT(KBlockEnds(256, 64, 0), ElementsAre(64, 128, 192, 256));
  EXPECT_THAT(KBlockEnds(256, 256, 80), ElementsAre(80, 128, 160, 240, 256));
  EXPECT_THAT(KBlockEnds(192, 96, 0), ElementsAre(96, 128, 192));
}

TEST(KBlocksTest, APartKeepsItsAbsoluteBlocks) {
  const std::vector<int> ends = KBlockEnds(512, 128, 80);
  EXPECT_THAT(ends,
              ElementsAre(80, 128, 160, 240, 256, 320, 384, 400, 480, 512));
  EXPECT_THAT(BlocksWithin(ends, {80, 240}), ElementsAre(48, 80, 160));
  EXPECT_THAT(BlocksWithin(ends, {0, 512}), testing::ElementsAreArray(ends));
  EXPECT_TRUE(BlocksWithin(ends, {80, 80}).empty());
}

TEST(KBlocksDeathTest, ACutInsideABlockIsABug) {
  EXPECT_DEATH(BlocksWithin(KBlockEnds(256, 128, 0), {0, 64}), "cuts a block");
  EXPECT_DEATH(BlocksWithin(KBlockEnds(256, 128, 0), {64, 256}),
               "cuts a block");
}

}  // namespace
}  // namespace quatrain
