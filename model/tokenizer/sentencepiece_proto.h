#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// The parts of a SentencePiece model file that BPE needs, read straight from
// the protobuf wire format.
struct SentencePieceProto {
  enum PieceType {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
  };
  struct Piece {
    std::string text;  // UTF-8, not empty
    float score = 0;
    int type = kNormal;
  };
  enum ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

  std::vector<Piece> pieces;  // by id
  int model_type = kUnigram;
  bool whitespace_as_suffix = false;
  std::string normalizer_name;
  bool has_charsmap = false;  // rewrites characters: not identity
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// InvalidArgument if `bytes` is not one, or has more than 4 M pieces.
absl::StatusOr<SentencePieceProto> ParseSentencePieceProto(
    std::string_view bytes);

}  // namespace quatrain
