#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/merge_table.h"

namespace quatrain {

struct BpeOptions {
  bool byte_level = false;  // symbols are bytes; else characters
  // A character that is not in the vocabulary becomes its bytes' <0xNN> tokens.
  bool byte_fallback = false;
  // ... or, without those, this token; or, without this, nothing.
  std::optional<int32_t> unk_token;
  bool fuse_unk = false;  // a run of unknown characters is one token
  // A piece that is in the vocabulary is that token, whatever merges build.
  bool ignore_merges = false;
};

// Byte-pair encoding of one piece: its characters (or bytes), then always the
// known merge of the lowest rank, the leftmost of equal ones, until none is
// left. O(n log n) in the piece, no recursion.
class BpeModel {
 public:
  using Vocab = std::unordered_map<std::string_view, int32_t>;

  // `vocab` maps the vocabulary's spellings to ids; `merges` are the two
  // halves' spellings, by rank. Keeps no view of either. InvalidArgument,
  // naming the merge, if a half or the whole is not in the vocabulary.
  static absl::StatusOr<BpeModel> Build(
      const Vocab& vocab,
      const std::vector<std::pair<std::string_view, std::string_view>>& merges,
      const BpeOptions& options);

  // Working memory, to be reused from piece to piece by one thread.
  struct Scratch {
    struct Symbol {
      int32_t id;
      int32_t previous, next;  // -1 at the ends
    };
    struct Candidate {
      int32_t rank, position, new_id;
    };
    std::vector<int32_t> ids;
    std::vector<int32_t> ranks;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the ids of `piece`.
  void Encode(std::string_view piece, Scratch* scratch,
              std::vector<int32_t>* ids) const;

 private:
  void IndexKeys(const Vocab& vocab);
  void IndexUnits(const Vocab& vocab);
  std::vector<int32_t> FallbackIds(const Vocab& vocab,
                                   std::string_view text) const;
  absl::Status AddMerges(
      const Vocab& vocab,
      const std::vector<std::pair<std::string_view, std::string_view>>& merges);

  void EncodePart(std::string_view part, Scratch* scratch,
                  std::vector<int32_t>* ids) const;
  void FirstSymbols(std::string_view part, std::vector<int32_t>* ids) const;
  void MergeShort(Scratch* scratch) const;
  void MergeLong(Scratch* scratch) const;

  BpeOptions options_;
  std::vector<std::string> keys_;          // what known_'s views point into
  Vocab known_;                            // by raw bytes
  std::array<int32_t, 256> byte_ids_;      // of a one-byte key; -1: none
  std::array<int32_t, 256> fallback_ids_;  // of <0xNN>; -1: none
  std::array<std::vector<int32_t>, 256> alphabet_fallback_;  // byte_level
  MergeTable merges_;
  bool cut_before_metaspace_ = false;
};

}  // namespace quatrain
