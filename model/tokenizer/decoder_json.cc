#include <utility>

#include "base/status_macros.h"
#include "model/tokenizer/component_json.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/unicode.h"
#include "nlohmann/json.hpp"

namespace quatrain {

using nlohmann::json;

// Reads a chain of decoders in order. Once the tokens are joined only Fuse
// (nothing left to do) and Strip at the start may follow.
class DecoderReader {
 public:
  absl::Status Read(const json& value) {
    ASSIGN_OR_RETURN(const Component component,
                     Component::Of(value, "decoder"));
    if (component.type() == "Sequence") {
      ASSIGN_OR_RETURN(const json* list, component.Array("decoders"));
      for (const json& item : *list) RETURN_IF_ERROR(Read(item));
      return absl::OkStatus();
    }
    return ReadOne(component);
  }

  TextDecoder Take() { return std::move(decoder_); }

 private:
  enum class Stage { kTokens, kBytesFound, kJoined, kStripped };

  absl::Status ReadOne(const Component& component) {
    const std::string& type = component.type();
    if (type == "Strip") return ReadStrip(component);
    if (type == "Replace") return ReadReplace(component);
    if (type == "Fuse") return ReadFuse(component);
    if (type == "ByteFallback")
      return Join(component, TokenJoin::kByteFallback, Stage::kBytesFound);
    if (type == "ByteLevel")
      return Join(component, TokenJoin::kByteLevel, Stage::kJoined);
    if (type == "Metaspace") return ReadMetaspace(component);
    return component.Unknown();
  }

  absl::Status Join(const Component& component, TokenJoin join, Stage stage) {
    if (stage_ != Stage::kTokens) return Misplaced(component);
    decoder_.join_ = join;
    stage_ = stage;
    return absl::OkStatus();
  }

  absl::Status ReadFuse(const Component& component) {
    if (stage_ == Stage::kStripped) return Misplaced(component);
    stage_ = Stage::kJoined;
    return absl::OkStatus();
  }

  absl::Status ReadReplace(const Component& component) {
    if (stage_ != Stage::kTokens) return Misplaced(component);
    ASSIGN_OR_RETURN(const PatternText pattern, ReadPattern(component));
    ReplaceStep replace;
    ASSIGN_OR_RETURN(replace.content, component.String("content"));
    if (pattern.is_regex) {
      ASSIGN_OR_RETURN(replace.pattern, RegexPattern(pattern.text));
    } else {
      replace.pattern = LiteralPattern(pattern.text);
    }
    TextDecoder::TokenStep step;
    step.replace = Normalizer({std::move(replace)});
    decoder_.token_steps_.push_back(std::move(step));
    return absl::OkStatus();
  }

  absl::Status ReadStrip(const Component& component) {
    constexpr int kMost = 1024;
    TextDecoder::TokenStep step;
    step.is_strip = true;
    ASSIGN_OR_RETURN(step.strip.value, component.Char("content"));
    ASSIGN_OR_RETURN(step.strip.start, component.Int("start", 0, kMost));
    ASSIGN_OR_RETURN(step.strip.stop, component.Int("stop", 0, kMost));
    if (stage_ == Stage::kTokens) {
      decoder_.token_steps_.push_back(std::move(step));
      return absl::OkStatus();
    }
    if (stage_ != Stage::kJoined) return Misplaced(component);
    if (step.strip.stop > 0)
      return component.Wrong("\"stop\" > 0 after Fuse is not supported");
    decoder_.strip_left_ = step.strip.start;
    decoder_.strip_char_ = step.strip.value;
    stage_ = Stage::kStripped;
    return absl::OkStatus();
  }

  absl::Status ReadMetaspace(const Component& component) {
    ASSIGN_OR_RETURN(const char32_t replacement, component.Char("replacement"));
    ASSIGN_OR_RETURN(const bool add, component.Bool("add_prefix_space", true));
    std::string scheme = add ? "always" : "never";
    if (component.Find("prepend_scheme") != nullptr) {
      ASSIGN_OR_RETURN(scheme, component.String("prepend_scheme"));
    }
    AppendUtf8(replacement, &decoder_.metaspace_);
    decoder_.metaspace_drops_first_ = scheme != "never";
    return Join(component, TokenJoin::kMetaspace, Stage::kJoined);
  }

  absl::Status Misplaced(const Component& component) const {
    return component.Wrong("is not supported at this place of a Sequence");
  }

  TextDecoder decoder_;
  Stage stage_ = Stage::kTokens;
};

absl::StatusOr<TextDecoder> TextDecoder::FromJson(const json& value) {
  if (value.is_null()) {
    TextDecoder decoder;
    decoder.join_ = TokenJoin::kBlanks;
    return decoder;
  }
  DecoderReader reader;
  RETURN_IF_ERROR(reader.Read(value));
  return reader.Take();
}

}  // namespace quatrain
