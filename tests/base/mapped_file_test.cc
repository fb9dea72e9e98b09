#include "base/mapped_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }
  static std::string Text(const MappedFile& file) {
    return std::string(reinterpret_cast<const char*>(file.bytes().data()),
                       file.bytes().size());
  }
  void SetUp() override {
    folder_ = testing::TempDir() + "/mapped_file_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(MappedFileTest, HoldsTheWholeFile) {
  const auto file = MappedFile::Open(Write("a", "hello"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Text(*file), "hello");
}

TEST_F(MappedFileTest, FollowsALink) {
  Write("a", "hello");
  ASSERT_EQ(symlink("a", Path("b").c_str()), 0);
  EXPECT_EQ(Text(*MappedFile::Open(Path("b"))), "hello");
}

TEST_F(MappedFileTest, AnEmptyFileIsEmpty) {
  const auto file = MappedFile::Open(Write("a", ""));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->bytes().empty());
}

TEST_F(MappedFileTest, RefusesWhatIsNoRegularFile) {
  EXPECT_EQ(MappedFile::Open(Path("none")).status().code(),
            absl::StatusCode::kNotFound);
  const absl::Status folder = MappedFile::Open(folder_).status();
  EXPECT_EQ(folder.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(folder.message()), folder_ + ": not a regular file");
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(Path("fifo")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(MappedFileTest, DroppedPagesReadTheSame) {
  std::string content(100'000, 'a');
  content[50'000] = 'b';
  const MappedFile file = *MappedFile::Open(Write("a", content));
  EXPECT_EQ(Text(file), content);
  file.DropPages(0, content.size());
  file.DropPages(5, 3);                   // no whole page inside
  file.DropPages(90'000, 1'000'000'000);  // beyond the end: nothing
  EXPECT_EQ(Text(file), content);
}

TEST_F(MappedFileTest, MovesItsMapping) {
  MappedFile a = *MappedFile::Open(Write("a", "aaa"));
  MappedFile b = *MappedFile::Open(Write("b", "bb"));
  a = std::move(b);
  EXPECT_EQ(Text(a), "bb");
}

}  // namespace
}  // namespace quatrain
