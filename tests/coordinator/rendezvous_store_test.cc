#include "coordinator/rendezvous_store.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

class RendezvousStoreTest : public testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value,
           uint64_t epoch = 3) {
    pb::StoreRequest request = Request(epoch);
    request.mutable_put()->set_key(key);
    request.mutable_put()->set_value(value);
    Ask(request);
  }
  void Get(const std::string& key, int timeout_ms) {
    pb::StoreRequest request = Request(3);
    request.mutable_get()->set_key(key);
    request.mutable_get()->set_timeout_ms(timeout_ms);
    Ask(request);
  }
  void Wait(const std::vector<std::string>& keys, int timeout_ms) {
    pb::StoreRequest request = Request(3);
    for (const std::string& key : keys) request.mutable_wait()->add_keys(key);
    request.mutable_wait()->set_timeout_ms(timeout_ms);
    Ask(request);
  }
  void Ask(const pb::StoreRequest& request) {
    store_.Ask(request, now_, [this](pb::StoreReply reply) {
      replies_.push_back(std::move(reply));
    });
  }
  pb::StoreRequest Request(uint64_t epoch) {
    pb::StoreRequest request;
    request.set_request_id(++num_requests_);
    request.set_epoch(epoch);
    return request;
  }

  const SteadyTime now_ = SteadyTime() + absl::Seconds(100);
  RendezvousStore store_{/*epoch=*/3};
  uint64_t num_requests_ = 0;
  std::vector<pb::StoreReply> replies_;
};

TEST_F(RendezvousStoreTest, GetFindsWhatWasPut) {
  Put("a", "1");
  Get("a", 1000);

  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(replies_[1].request_id(), 2u);
  EXPECT_EQ(replies_[1].value(), "1");
}

TEST_F(RendezvousStoreTest, GetWaitsForThePut) {
  Get("a", 1000);
  EXPECT_TRUE(replies_.empty());
  Put("a", "1");

  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(replies_[1].request_id(), 1u);
  EXPECT_EQ(replies_[1].value(), "1");
}

TEST_F(RendezvousStoreTest, WaitEndsWithTheLastKey) {
  Wait({"a", "b"}, 1000);
  Put("a", "1");
  EXPECT_EQ(replies_.size(), 1u);
  Put("b", "2");

  ASSERT_EQ(replies_.size(), 3u);
  EXPECT_EQ(replies_[2].request_id(), 1u);
  EXPECT_EQ(replies_[2].code(), 0u);
}

TEST_F(RendezvousStoreTest, TimeoutNamesTheMissingKey) {
  Put("a", "1");
  Wait({"a", "b"}, 1000);
  store_.Expire(now_ + absl::Milliseconds(999));
  EXPECT_EQ(replies_.size(), 1u);
  store_.Expire(now_ + absl::Milliseconds(1000));

  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(replies_[1].message(), "rendezvous store: key \"b\" did not come");
}

TEST_F(RendezvousStoreTest, AnotherEpochChangesNothing) {
  Put("a", "1", /*epoch=*/2);
  Get("a", 1000);

  ASSERT_EQ(replies_.size(), 1u);
  EXPECT_EQ(replies_[0].code(),
            static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(replies_[0].message(), "rendezvous store: epoch 2, expected 3");
}

TEST_F(RendezvousStoreTest, AbortAnswersWhoWaits) {
  Get("a", 1000);
  store_.Abort(absl::AbortedError("the epoch is over"));

  ASSERT_EQ(replies_.size(), 1u);
  EXPECT_EQ(replies_[0].message(), "the epoch is over");
}

TEST_F(RendezvousStoreTest, AfterAnAbortNobodyWaits) {
  Put("a", "1");
  store_.Abort(absl::AbortedError("the epoch is over"));
  Get("a", 1000);
  Wait({"b"}, 1000);
  Put("b", "2");

  ASSERT_EQ(replies_.size(), 4u);
  for (size_t i = 1; i < replies_.size(); ++i) {
    EXPECT_EQ(replies_[i].request_id(), i + 1);
    EXPECT_EQ(replies_[i].message(), "the epoch is over");
  }
}

TEST_F(RendezvousStoreTest, ReplacedValuesTakeNoRoom) {
  const std::string large(24 << 20, 'x');
  for (int i = 0; i < 3; ++i) Put("a", large);
  Put("b", large);
  for (const pb::StoreReply& reply : replies_)
    EXPECT_EQ(reply.code(), 0u) << reply.message();
  Put("c", large);

  EXPECT_EQ(replies_.back().message(),
            "rendezvous store: 2 keys, 50331650 bytes: full");
}

}  // namespace
}  // namespace quatrain
