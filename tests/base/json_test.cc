#include "base/json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

using testing::ElementsAre;

std::string ErrorOf(std::string_view text, JsonLimits limits = {}) {
  const auto json = ParseJson(text, limits, "a.json");
  return json.ok() ? "accepted: " + json->dump()
                   : std::string(json.status().message());
}

TEST(ParseJsonTest, ReadsADocument) {
  const auto json =
      ParseJson(R"({"a": [1, -2, 3.5, true, null, "x"], "b": {}})", {}, "a");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->dump(), R"({"a":[1,-2,3.5,true,null,"x"],"b":{}})");
}

TEST(ParseJsonTest, RefusesWhatOthersLetPass) {
  EXPECT_EQ(ErrorOf(R"({"a": 1, "a": 2})"), "a.json: key \"a\" twice");
  EXPECT_EQ(ErrorOf(R"([{"b": {"a": 1, "a": 2}}])"), "a.json: key \"a\" twice");
  EXPECT_EQ(ErrorOf(std::string("{}\0{", 4)),
            "a.json: NUL at line 1, column 3");
  EXPECT_EQ(ErrorOf(R"({"a\u0000": 1})"), "a.json: \\u0000 in a key");
  EXPECT_EQ(ErrorOf(R"(["\u0000"])"), "a.json: \\u0000 in a string");
  EXPECT_EQ(ErrorOf("\xef\xbb\xbf{}"), "a.json: begins with a byte order mark");
  EXPECT_EQ(ErrorOf("[1e999]"),
            "a.json: a number too large at line 1, column 6");
}

TEST(ParseJsonTest, NamesThePlaceOfASyntaxError) {
  EXPECT_EQ(ErrorOf("{\n  \"a\": }"),
            "a.json: not valid JSON at line 2, column 8");
  EXPECT_EQ(ErrorOf("{} x"), "a.json: not valid JSON at line 1, column 4");
  EXPECT_EQ(ErrorOf("[1] // x"), "a.json: not valid JSON at line 1, column 5");
  EXPECT_EQ(ErrorOf(""), "a.json: not valid JSON at line 1, column 1");
  EXPECT_EQ(ErrorOf("[\"\xff\"]"),
            "a.json: not valid JSON at line 1, column 3");
}

TEST(ParseJsonTest, HasLimits) {
  EXPECT_EQ(ErrorOf("[[[]]]", {.max_depth = 2}),
            "a.json: nested deeper than 2");
  EXPECT_EQ(ErrorOf("[[],[]]", {.max_depth = 2}), "accepted: [[],[]]");
  EXPECT_EQ(ErrorOf("[     ]", {.max_bytes = 4}),
            "a.json: 7 bytes, at most 4 are read");
  EXPECT_EQ(ErrorOf(std::string(1'000'000, '[')),
            "a.json: nested deeper than 16");
}

TEST(JsonObjectTest, ReadsTypedMembersAndNamesWrongOnes) {
  const nlohmann::json json = nlohmann::json::parse(
      R"({"i": 3, "f": 2.5, "b": true, "s": "x", "n": null, "big": 1e30,
          "u": 18446744073709551615})");
  const JsonObject object = *JsonObject::Of(json, "a.json");

  EXPECT_EQ(**object.Int("i", 0, 10), 3);
  EXPECT_EQ(**object.Number("i", 0, 10), 3);
  EXPECT_EQ(**object.Number("f", 0, 10), 2.5);
  EXPECT_EQ(**object.Bool("b"), true);
  EXPECT_EQ(**object.String("s"), "x");
  EXPECT_EQ(*object.Int("n", 0, 10), std::nullopt);
  EXPECT_EQ(*object.Int("absent", 0, 10), std::nullopt);
  EXPECT_TRUE(object.IsNull("n"));
  EXPECT_FALSE(object.Has("n"));

  const auto message = [](const auto& result) {
    return std::string(result.status().message());
  };
  EXPECT_EQ(message(object.Int("i", 4, 10)),
            "a.json: \"i\" is 3, expected an integer in 4..10");
  EXPECT_EQ(message(object.Int("f", 0, 10)),
            "a.json: \"f\" is 2.5, expected an integer in 0..10");
  EXPECT_EQ(message(object.Int("u", 0, INT64_MAX)),
            "a.json: \"u\" is 18446744073709551615, expected an integer in "
            "0..9223372036854775807");
  EXPECT_EQ(message(object.Number("s", 0, 1)),
            "a.json: \"s\" is \"x\", expected a number in 0..1");
  EXPECT_EQ(message(object.Bool("i")),
            "a.json: \"i\" is 3, expected true or false");
  EXPECT_EQ(message(object.String("i")),
            "a.json: \"i\" is 3, expected a string");
  EXPECT_THAT(object.Unread(), ElementsAre("big"));
}

TEST(JsonObjectTest, IsMadeOfAnObjectOnly) {
  const nlohmann::json json = nlohmann::json::parse("[1]");
  EXPECT_EQ(std::string(JsonObject::Of(json, "a").status().message()),
            "a: is [1], expected an object");
}

TEST(ParseJsonFileTest, SaysWhenThereIsNone) {
  const absl::Status status = ParseJsonFile("/nowhere/a.json", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "/nowhere/a.json: no such file");
}

}  // namespace
}  // namespace quatrain
