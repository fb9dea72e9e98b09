#include "model/safetensors.h"

#include <cstring>

#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// The message for a header over `data_bytes` bytes of data, or "" if accepted.
std::string ErrorOf(const std::string& header, uint64_t data_bytes = 4,
                    const SafetensorsLimits& limits = {}) {
  return MessageOf(
      ParseSafetensorsHeader(header, data_bytes, "f", limits).status());
}

// A header of one tensor whose entry is `entry`.
std::string One(const std::string& entry) { return "{\"a\":" + entry + "}"; }

TEST(SafetensorsHeaderTest, ReadsTensorsSortedByName) {
  const auto tensors = ParseSafetensorsHeader(
      R"({"__metadata__":{"format":"pt"},)"
      R"("b":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},)"
      R"("z":{"dtype":"I32","shape":[0,7],"data_offsets":[12,12]},)"
      R"("a":{"shape":[],"data_offsets":[12,16],"dtype":"F32"}}   )",
      16, "f");
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 3u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].dtype, TensorDType::kF32);
  EXPECT_TRUE((*tensors)[0].shape.empty());
  EXPECT_EQ((*tensors)[0].begin, 12u);
  EXPECT_EQ((*tensors)[0].end, 16u);
  EXPECT_EQ(ShapeText((*tensors)[1].shape), "[2, 3]");
  EXPECT_EQ(ShapeText((*tensors)[2].shape), "[0, 7]");
}

TEST(SafetensorsHeaderTest, AcceptsAnEmptyFile) {
  EXPECT_EQ(ErrorOf("{}", 0), "");
  EXPECT_EQ(ErrorOf("{}", 1), "f: tensors end at 0, the data has 1 bytes");
}

struct BadHeader {
  std::string header;
  std::string message;
  uint64_t data_bytes = 4;
};

class BadHeaderTest : public testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaderTest, IsRefused) {
  EXPECT_EQ(ErrorOf(GetParam().header, GetParam().data_bytes),
            GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Text, BadHeaderTest,
    testing::Values(
        BadHeader{" {}", "f: header: does not begin with {"},
        BadHeader{"[]", "f: header: does not begin with {"},
        BadHeader{"{}\n", "f: header: something other than spaces after the }"},
        BadHeader{"{} x", "f: header: something other than spaces after the }"},
        BadHeader{"{}}", "f: header: not valid JSON at byte 3"},
        BadHeader{std::string("{}\0}", 4), "f: header: NUL inside"},
        BadHeader{"{\"\xff\":1}", "f: header: not valid JSON at byte 3"},
        BadHeader{R"({"\u0000":{}})", "f: header: \\u0000 in a key"},
        BadHeader{R"({"a":{"dtype":"\u0000"}})",
                  "f: header: \\u0000 in a string"},
        BadHeader{"{\"a\":" + Repeated("[", 100000) + "}",
                  "f: \"a\": an array, expected an object"},
        BadHeader{Repeated("{\"a\":", 100000) + "}",
                  "f: \"a\": unknown key \"a\""},
        BadHeader{R"({"a":1})", "f: \"a\": a number, expected an object"},
        BadHeader{R"({"a":null})", "f: \"a\": null, expected an object"}));

INSTANTIATE_TEST_SUITE_P(
    Metadata, BadHeaderTest,
    testing::Values(
        BadHeader{R"({"__metadata__":{"a":1}})",
                  "f: \"__metadata__\": a number, expected a string"},
        BadHeader{R"({"__metadata__":{"a":{}}})",
                  "f: \"__metadata__\": an object, expected a string"},
        BadHeader{R"({"__metadata__":{"a":"","a":""}})",
                  "f: header: __metadata__: \"a\" twice"},
        BadHeader{R"({"__metadata__":{},"__metadata__":{}})",
                  "f: header: __metadata__ twice"},
        BadHeader{
            R"({"__metadata__":{"a":")" + std::string(1 << 20, 'x') + R"("}})",
            "f: header: __metadata__ of more than 1048576 bytes"}));

INSTANTIATE_TEST_SUITE_P(
    Entries, BadHeaderTest,
    testing::Values(
        BadHeader{One("{}"), "f: \"a\": no \"dtype\""},
        BadHeader{One(R"({"dtype":"F32","shape":[1]})"),
                  "f: \"a\": no \"data_offsets\""},
        BadHeader{One(R"({"dtype":"F32","data_offsets":[0,4]})"),
                  "f: \"a\": no \"shape\""},
        BadHeader{One(R"({"dtype":"F33"})"),
                  "f: \"a\": dtype \"F33\" is not one of the format's"},
        BadHeader{One(R"({"dtype":"f32"})"),
                  "f: \"a\": dtype \"f32\" is not one of the format's"},
        BadHeader{One(R"({"dtype":7})"),
                  "f: \"a\": a number, expected a string"},
        BadHeader{One(R"({"dtype":"F32","dtype":"F32"})"),
                  "f: \"a\": \"dtype\" twice"},
        BadHeader{One(R"({"strides":[1]})"),
                  "f: \"a\": unknown key \"strides\""},
        BadHeader{One(R"({"shape":4})"),
                  "f: \"a\": a number, expected an array of integers"},
        BadHeader{One(R"({"shape":[-1]})"),
                  "f: \"a\": a sign, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[-0]})"),
                  "f: \"a\": a sign, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[1.0]})"),
                  "f: \"a\": the number 1.0, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[1e3]})"),
                  "f: \"a\": the number 1e3, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[true]})"),
                  "f: \"a\": a boolean, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[[1]]})"),
                  "f: \"a\": an array, expected a plain integer >= 0"},
        BadHeader{One(R"({"shape":[9007199254740993]})"),
                  "f: \"a\": 9007199254740993 is more than 2^53"},
        BadHeader{One(R"({"shape":[1,1,1,1,1,1,1,1,1]})"),
                  "f: \"a\": more than 8 dimensions"},
        BadHeader{One(R"({"data_offsets":[0]})"),
                  "f: \"a\": data_offsets of 1 numbers, expected 2"},
        BadHeader{One(R"({"data_offsets":[0,1,2]})"),
                  "f: \"a\": data_offsets of 3 numbers, expected 2"},
        BadHeader{"{\"" + std::string(513, 'n') + "\":{}}",
                  "f: \"" + std::string(100, 'n') +
                      "\": a name of 513 bytes, at most 512"}));

INSTANTIATE_TEST_SUITE_P(
    Offsets, BadHeaderTest,
    testing::Values(
        BadHeader{One(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"),
                  "f: \"a\": data_offsets [4, 0], the data has 4 bytes"},
        BadHeader{One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"),
                  "f: \"a\": data_offsets [0, 8], the data has 4 bytes"},
        BadHeader{One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
                  "f: \"a\": data_offsets [0, 4], shape [2] of F32 needs 8 "
                  "bytes"},
        BadHeader{
            One(R"({"dtype":"F32","shape":[4294967296,4294967296],)"
                R"("data_offsets":[0,4]})"),
            "f: \"a\": shape [4294967296, 4294967296] of F32 is no possible "
            "number of bytes"},
        BadHeader{One(R"({"dtype":"F4","shape":[3],"data_offsets":[0,2]})"),
                  "f: \"a\": shape [3] of F4 is no possible number of bytes"},
        BadHeader{One(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"),
                  "f: tensors end at 4, the data has 8 bytes", 8},
        BadHeader{One(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"),
                  "f: \"a\": begins at 4, expected 0: tensors lie without hole "
                  "or overlap",
                  8},
        BadHeader{
            R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
            R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
            "f: \"b\": begins at 2, expected 3: tensors lie without hole or "
            "overlap"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                  R"("a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
                  "f: \"a\" twice"}));

TEST(SafetensorsHeaderTest, CountsTensors) {
  const std::string entry =
      R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  const std::string header = R"({"a":)" + entry + R"(,"b":)" + entry + "}";
  EXPECT_EQ(ErrorOf(header, 0, {.max_tensors = 2}), "");
  EXPECT_EQ(ErrorOf(header, 0, {.max_tensors = 1}),
            "f: header: more than 1 tensors");
}

TEST(SafetensorsHeaderTest, SubByteTypesEndOnAByte) {
  EXPECT_EQ(ErrorOf(One(R"({"dtype":"F4","shape":[8],"data_offsets":[0,4]})")),
            "");
  EXPECT_EQ(
      ErrorOf(One(R"({"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]})"),
              3),
      "");
}

class SafetensorsFileTest : public testing::Test {
 protected:
  std::string ErrorOfFile(const std::string& content) {
    const std::string path = folder_.Write("f", content);
    std::string message = MessageOf(SafetensorsFile::Open(path).status());
    if (message.starts_with(folder_.path()))
      message = message.substr(folder_.path().size() + 1);
    return message;
  }
  static std::string Length(uint64_t length) {
    return std::string(reinterpret_cast<const char*>(&length), 8);
  }

  TempFolder folder_;
};

TEST_F(SafetensorsFileTest, GivesEachTensorItsBytes) {
  const std::string path = folder_.Write(
      "f", FileOf({{"a", {"U8", {3}, "abc"}}, {"b", {"U8", {2}, "de"}}}));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2u);
  const std::span<const std::byte> bytes = file->Bytes(file->tensors()[1]);
  EXPECT_EQ(std::memcmp(bytes.data(), "de", 2), 0);
  EXPECT_EQ(bytes.size(), 2u);
}

TEST_F(SafetensorsFileTest, RefusesTruncatedAndOversizedHeaders) {
  EXPECT_EQ(ErrorOfFile(""), "f: 0 bytes, a safetensors file has at least 8");
  EXPECT_EQ(ErrorOfFile("1234567"),
            "f: 7 bytes, a safetensors file has at least 8");
  EXPECT_EQ(ErrorOfFile(Length(0)),
            "f: header of 0 bytes, expected 2..33554432");
  EXPECT_EQ(ErrorOfFile(Length(UINT64_MAX) + "{}"),
            "f: header of 18446744073709551615 bytes, expected 2..33554432");
  EXPECT_EQ(ErrorOfFile(Length(33554433) + "{}"),
            "f: header of 33554433 bytes, expected 2..33554432");
  EXPECT_EQ(ErrorOfFile(Length(3) + "{}"),
            "f: header of 3 bytes, but the file ends after 2");
  EXPECT_EQ(ErrorOfFile(Length(2) + "{}"), "");
}

TEST_F(SafetensorsFileTest, RefusesATruncatedFileWhereverItEnds) {
  const std::string whole = FileOf({{"a", {"U8", {3}, "abc"}}});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(ErrorOfFile(whole.substr(0, size)), "") << size;
  EXPECT_EQ(ErrorOfFile(whole), "");
  EXPECT_NE(ErrorOfFile(whole + "x"), "");
}

}  // namespace
}  // namespace quatrain
