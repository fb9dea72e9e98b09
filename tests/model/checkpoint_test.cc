#include "model/checkpoint.h"

#include <unistd.h>

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

class CheckpointTest : public testing::Test {
 protected:
  void WriteIndex(const nlohmann::json& weight_map, int64_t total_size = 5) {
    folder_.Write("model.safetensors.index.json",
                  nlohmann::json{{"metadata", {{"total_size", total_size}}},
                                 {"weight_map", weight_map}}
                      .dump());
  }
  // The message with the folder's own name left out.
  std::string Error() {
    const std::string message =
        MessageOf(Checkpoint::Open(folder_.path()).status());
    return message.starts_with(folder_.path())
               ? message.substr(folder_.path().size())
               : message;
  }

  TempFolder folder_;
  const TestTensors a_ = {{"a", {"U8", {3}, "abc"}}};
  const TestTensors b_ = {{"b", {"U8", {2}, "de"}}};
};

TEST_F(CheckpointTest, OpensASingleFile) {
  folder_.Write("model.safetensors",
                FileOf({{"a", {"U8", {3}, "abc"}}, {"b", {"U8", {2}, "de"}}}));
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->total_bytes(), 5);
  ASSERT_NE(checkpoint->Find("b"), nullptr);
  EXPECT_EQ(std::memcmp(checkpoint->Find("b")->bytes().data(), "de", 2), 0);
  EXPECT_EQ(checkpoint->Find("c"), nullptr);
  EXPECT_EQ(checkpoint->Find(""), nullptr);
}

TEST_F(CheckpointTest, OpensShardsThroughTheirIndex) {
  folder_.Write("model-1.safetensors", FileOf(a_));
  folder_.Write("model-2.safetensors", FileOf(b_));
  WriteIndex({{"a", "model-1.safetensors"}, {"b", "model-2.safetensors"}});
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->files().size(), 2u);
  EXPECT_EQ(std::memcmp(checkpoint->Find("a")->bytes().data(), "abc", 3), 0);
  EXPECT_EQ(std::memcmp(checkpoint->Find("b")->bytes().data(), "de", 2), 0);
}

TEST_F(CheckpointTest, FollowsLinksAsHubCachesHaveThem) {
  TempFolder blobs;
  const std::string blob = blobs.Write("0123abcd", FileOf(a_));
  ASSERT_EQ(symlink(blob.c_str(), folder_.Path("model.safetensors").c_str()),
            0);
  EXPECT_EQ(Error(), "");
}

TEST_F(CheckpointTest, TensorsStayWhereTheyAreWhenItMoves) {
  folder_.Write("model.safetensors", FileOf(a_));
  Checkpoint first = *Checkpoint::Open(folder_.path());
  const Tensor* tensor = first.Find("a");
  const Checkpoint second = std::move(first);
  EXPECT_EQ(second.Find("a"), tensor);
  EXPECT_EQ(std::memcmp(tensor->bytes().data(), "abc", 3), 0);
}

TEST_F(CheckpointTest, SaysWhatIsMissing) {
  EXPECT_EQ(Error(),
            ": neither model.safetensors nor model.safetensors.index.json "
            "(other formats are not read; convert to safetensors)");
  folder_.Write("model-1.safetensors", FileOf(a_));
  WriteIndex({{"a", "model-1.safetensors"}, {"b", "model-2.safetensors"}});
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: names model-2.safetensors: no such "
            "file");
  EXPECT_EQ(Checkpoint::Open(folder_.path()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, RefusesAnIndexThatContradictsTheFiles) {
  folder_.Write("1", FileOf(a_));
  folder_.Write("2", FileOf(b_));
  WriteIndex({{"a", "1"}, {"b", "2"}, {"c", "2"}});
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: \"c\": not in 2, where "
            "the index says it is");
  WriteIndex({{"a", "1"}, {"c", "2"}});
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: \"b\": found in 2, the "
            "index has no such tensor");
  WriteIndex({{"a", "2"}, {"b", "1"}});
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: \"a\": found in 1, the "
            "index says 2");
  folder_.Write("2", FileOf(a_));
  WriteIndex({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(Error(), "/model.safetensors.index.json: \"a\": in 1 and in 2");
}

TEST_F(CheckpointTest, RefusesFileNamesThatLeaveTheFolder) {
  for (const char* name : {"../model-1", "/etc/passwd", ".hidden", "", "a b"}) {
    WriteIndex({{"a", name}});
    EXPECT_EQ(Error(),
              "/model.safetensors.index.json: \"a\" is in \"" +
                  std::string(name) +
                  "\", expected a file name of A-Z a-z 0-9 . _ - in this "
                  "folder");
  }
  WriteIndex({{"a", std::string(129, 'x')}});
  EXPECT_THAT(Error(), testing::HasSubstr("expected a file name"));
}

TEST_F(CheckpointTest, RefusesAnIndexOfAnotherForm) {
  folder_.Write("model.safetensors.index.json", R"({"weight_map": []})");
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: \"weight_map\" is [], "
            "expected an object of tensor names and file names");
  folder_.Write("model.safetensors.index.json", "[]");
  EXPECT_EQ(Error(),
            "/model.safetensors.index.json: is [], expected an object");
  folder_.Write("model.safetensors.index.json",
                R"({"weight_map": {"a": {"b": {}}}})");
  EXPECT_EQ(Error(), "/model.safetensors.index.json: nested deeper than 3");
  folder_.Write("model.safetensors.index.json",
                R"({"weight_map": {"a": "1", "a": "2"}})");
  EXPECT_EQ(Error(), "/model.safetensors.index.json: key \"a\" twice");
}

TEST_F(CheckpointTest, AWrongTotalSizeIsOnlyAWarning) {
  folder_.Write("1", FileOf(a_));
  WriteIndex({{"a", "1"}}, 77);
  EXPECT_EQ(Error(), "");
}

TEST_F(CheckpointTest, DigestIsOfTheContentWhateverTheFiles) {
  TempFolder sharded, other;
  folder_.Write("model.safetensors",
                FileOf({{"a", {"U8", {3}, "abc"}}, {"b", {"U8", {2}, "de"}}}));
  other.Write("model.safetensors",
              FileOf({{"a", {"U8", {3}, "abc"}}, {"b", {"U8", {2}, "dE"}}}));
  sharded.Write("1", FileOf(a_));
  sharded.Write("2", FileOf(b_));
  sharded.Write("model.safetensors.index.json",
                R"({"weight_map": {"a": "1", "b": "2"}})");
  const uint64_t digest = Checkpoint::Open(folder_.path())->digest();
  EXPECT_EQ(Checkpoint::Open(sharded.path())->digest(), digest);
  EXPECT_NE(Checkpoint::Open(other.path())->digest(), digest);
}

}  // namespace
}  // namespace quatrain
