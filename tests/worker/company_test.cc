// The same bits whatever else runs: batch, chunks, threads, instruction set,
// plans in flight, backend.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/isa.h"
#include "tests/worker/local_prompts.h"

namespace quatrain {
namespace {

// Whether the layout is one rank or tp 3 x pp 2.
class CompanyTest : public testing::TestWithParam<bool> {
 protected:
  CompanyTest() {
    if (GetParam()) {
      settings_.layout = LayoutOf(3, 2);
      settings_.num_micro_batches = 2;
    }
  }

  // One sequence alone on one rank: what all others are compared with.
  static const LocalOutput& Alone() {
    static const auto* const output =
        new LocalOutput(RunOn(TalesSettings(), {OneRequest()}).at(0));
    return *output;
  }

  static LocalRequest OneRequest() {
    return Requests(8, 100, {.temperature = 0.7f, .seed = 5}).back();
  }

  EngineSettings settings_ = TalesSettings();
};

TEST_P(CompanyTest, InABatchOf16) {
  std::vector<LocalRequest> requests =
      Requests(15, 60, {.temperature = 1, .top_k = 50, .seed = 77});
  requests.insert(requests.begin() + 9, OneRequest());
  ExpectSame(Alone(), RunOn(settings_, requests).at(9));
}

TEST_P(CompanyTest, InChunks) {
  for (const int chunk : {1, 7, 256}) {
    SCOPED_TRACE(chunk);
    ExpectSame(Alone(),
               RunOn(settings_, {OneRequest()}, {.chunk_tokens = chunk}).at(0));
  }
}

TEST_P(CompanyTest, WithOtherThreads) {
  for (const int threads : {2, 3, 8}) {
    SCOPED_TRACE(threads);
    settings_.threads = threads;
    ExpectSame(Alone(), RunOn(settings_, {OneRequest()}).at(0));
  }
}

TEST_P(CompanyTest, WithEveryInstructionSet) {
  for (const std::string& isa : AvailableIsas()) {
    SCOPED_TRACE(isa);
    settings_.isa = isa;
    ExpectSame(Alone(), RunOn(settings_, {OneRequest()}).at(0));
  }
}

TEST_P(CompanyTest, WithTheReference) {
  settings_.backend = "reference";
  ExpectSame(Alone(), RunOn(settings_, {OneRequest()}).at(0));
}

TEST_P(CompanyTest, WithPlansInFlight) {
  for (const int plans : {1, 2, 5}) {
    SCOPED_TRACE(plans);
    ExpectSame(
        Alone(),
        RunOn(settings_, {OneRequest()}, {.plans_in_flight = plans}).at(0));
  }
}

// A preempted sequence is prefilled again with what it had drawn: its next
// tokens are those it would have drawn.
TEST_P(CompanyTest, AfterRecomputation) {
  LocalRequest replay = OneRequest();
  const size_t prompt = replay.prompt.size();
  const std::vector<int32_t>& tokens = Alone().token_ids;
  replay.prompt.insert(replay.prompt.end(), tokens.begin(),
                       tokens.begin() + 40);
  replay.num_tokens -= 40;
  const LocalOutput output = RunOn(settings_, {replay}).at(0);
  EXPECT_EQ(output.token_ids,
            std::vector<int32_t>(tokens.begin() + 40, tokens.end()));
  // What was drawn is now scored, to the same bits.
  using Logprobs = std::vector<TokenLogprob>;
  const Logprobs& alone = Alone().logprobs;
  ExpectSame(Logprobs(output.prompt_logprobs.begin() + prompt - 1,
                      output.prompt_logprobs.end()),
             Logprobs(alone.begin(), alone.begin() + 40));
  ExpectSame(output.logprobs, Logprobs(alone.begin() + 40, alone.end()));
}

INSTANTIATE_TEST_SUITE_P(Layouts, CompanyTest, testing::Bool());

}  // namespace
}  // namespace quatrain
