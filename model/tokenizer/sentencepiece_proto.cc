#include "model/tokenizer/sentencepiece_proto.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <bit>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr size_t kMaxBytes = 128u << 20;
constexpr size_t kMaxPieces = 4'000'000;
constexpr size_t kMaxPieceBytes = 1024;

// One field of a message: its number and its value, whichever kind it is.
struct Field {
  int number = 0;
  WireFormatLite::WireType type = WireFormatLite::WIRETYPE_VARINT;
  uint64_t value = 0;      // varint, or the bits of a fixed one
  std::string_view bytes;  // length-delimited

  bool IsVarint(int n) const {
    return number == n && type == WireFormatLite::WIRETYPE_VARINT;
  }
  bool IsBytes(int n) const {
    return number == n && type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
  }
  bool IsFloat(int n) const {
    return number == n && type == WireFormatLite::WIRETYPE_FIXED32;
  }
};

// Reads fields one after the other; groups (obsolete) are not read.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message)
      : message_(message),
        stream_(reinterpret_cast<const uint8_t*>(message.data()),
                static_cast<int>(message.size())) {}

  // False at the end, and where the message is broken: ok() tells which.
  bool Next(Field* field) {
    const uint32_t tag = stream_.ReadTag();
    if (tag == 0) {
      ok_ = ok_ && stream_.ConsumedEntireMessage();
      return false;
    }
    field->number = WireFormatLite::GetTagFieldNumber(tag);
    field->type = WireFormatLite::GetTagWireType(tag);
    ok_ = field->number > 0 && ReadValue(field);
    return ok_;
  }
  bool ok() const { return ok_; }

 private:
  bool ReadValue(Field* field) {
    uint32_t small = 0;
    switch (field->type) {
      case WireFormatLite::WIRETYPE_VARINT:
        return stream_.ReadVarint64(&field->value);
      case WireFormatLite::WIRETYPE_FIXED64:
        return stream_.ReadLittleEndian64(&field->value);
      case WireFormatLite::WIRETYPE_FIXED32:
        if (!stream_.ReadLittleEndian32(&small)) return false;
        field->value = small;
        return true;
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        if (!stream_.ReadVarint32(&small)) return false;
        const size_t at = stream_.CurrentPosition();
        if (small > message_.size() - at) return false;
        field->bytes = message_.substr(at, small);
        return stream_.Skip(static_cast<int>(small));
      }
      default:
        return false;
    }
  }

  std::string_view message_;
  CodedInputStream stream_;
  bool ok_ = true;
};

absl::Status Broken(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "tokenizer.model: not a SentencePiece model: ", std::string(what)));
}

absl::Status ReadPiece(std::string_view message, SentencePieceProto* model) {
  SentencePieceProto::Piece piece;
  FieldReader reader(message);
  for (Field field; reader.Next(&field);) {
    if (field.IsBytes(1)) piece.text = field.bytes;
    if (field.IsFloat(2))
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.IsVarint(3)) piece.type = static_cast<int>(field.value);
  }
  const size_t id = model->pieces.size();
  if (!reader.ok()) return Broken(absl::StrCat("piece ", id, " is broken"));
  if (piece.text.empty() || !IsValidUtf8(piece.text))
    return Broken(absl::StrCat("piece ", id, " is empty or not UTF-8"));
  if (piece.text.size() > kMaxPieceBytes)
    return Broken(absl::StrCat("piece ", id, " has ", piece.text.size(),
                               " bytes, at most ", kMaxPieceBytes));
  if (std::isnan(piece.score))
    return Broken(absl::StrCat("piece ", id, " has no number as its score"));
  if (piece.type < SentencePieceProto::kNormal ||
      piece.type > SentencePieceProto::kByte)
    return Broken(absl::StrCat("piece ", id, " is of type ", piece.type));
  if (id == kMaxPieces) return Broken("too many pieces");
  model->pieces.push_back(std::move(piece));
  return absl::OkStatus();
}

absl::Status ReadTrainerSpec(std::string_view message,
                             SentencePieceProto* model) {
  FieldReader reader(message);
  for (Field field; reader.Next(&field);) {
    if (field.IsVarint(3)) model->model_type = static_cast<int>(field.value);
    if (field.IsVarint(24)) model->whitespace_as_suffix = field.value != 0;
  }
  return reader.ok() ? absl::OkStatus() : Broken("trainer_spec is broken");
}

absl::Status ReadNormalizerSpec(std::string_view message,
                                SentencePieceProto* model) {
  FieldReader reader(message);
  for (Field field; reader.Next(&field);) {
    if (field.IsBytes(1)) model->normalizer_name = field.bytes;
    if (field.IsBytes(2)) model->has_charsmap = !field.bytes.empty();
    if (field.IsVarint(3)) model->add_dummy_prefix = field.value != 0;
    if (field.IsVarint(4)) model->remove_extra_whitespaces = field.value != 0;
    if (field.IsVarint(5)) model->escape_whitespaces = field.value != 0;
  }
  return reader.ok() ? absl::OkStatus() : Broken("normalizer_spec is broken");
}

absl::Status ReadField(const Field& field, SentencePieceProto* model) {
  if (field.IsBytes(1)) return ReadPiece(field.bytes, model);
  if (field.IsBytes(2)) return ReadTrainerSpec(field.bytes, model);
  if (field.IsBytes(3)) return ReadNormalizerSpec(field.bytes, model);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentencePieceProto> ParseSentencePieceProto(
    std::string_view bytes) {
  if (bytes.size() > kMaxBytes)
    return Broken(absl::StrCat(bytes.size(), " bytes, at most ", kMaxBytes));
  SentencePieceProto model;
  FieldReader reader(bytes);
  for (Field field; reader.Next(&field);)
    if (absl::Status status = ReadField(field, &model); !status.ok())
      return status;
  if (!reader.ok()) return Broken("the file is cut short or broken");
  if (model.pieces.empty()) return Broken("it has no pieces");
  return model;
}

}  // namespace quatrain
