#include "model/tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

constexpr std::string_view kMetaspace = "\u2581";

std::string ByteToken(uint8_t byte) {
  char text[8];
  std::snprintf(text, sizeof(text), "<0x%02X>", byte);
  return text;
}

int32_t IdOf(const BpeModel::Vocab& vocab, std::string_view text) {
  const auto found = vocab.find(text);
  return found == vocab.end() ? -1 : found->second;
}

// Does U+2581 follow another character anywhere in `text`?
bool HasInnerMetaspace(std::string_view text) {
  for (size_t i = text.find(kMetaspace); i != std::string_view::npos;
       i = text.find(kMetaspace, i + kMetaspace.size()))
    if (i > 0 && !text.substr(0, i).ends_with(kMetaspace)) return true;
  return false;
}

}  // namespace

absl::StatusOr<BpeModel> BpeModel::Build(
    const Vocab& vocab,
    const std::vector<std::pair<std::string_view, std::string_view>>& merges,
    const BpeOptions& options) {
  BpeModel model;
  model.options_ = options;
  model.IndexKeys(vocab);
  model.IndexUnits(vocab);
  RETURN_IF_ERROR(model.AddMerges(vocab, merges));
  // If no token has U+2581 after something else, no merge crosses the border
  // in front of it, and each word can be merged by itself.
  model.cut_before_metaspace_ =
      !options.byte_level && !options.ignore_merges &&
      vocab.contains(kMetaspace) &&
      std::none_of(vocab.begin(), vocab.end(), [](const auto& entry) {
        return HasInnerMetaspace(entry.first);
      });
  return model;
}

void BpeModel::IndexKeys(const Vocab& vocab) {
  std::vector<int32_t> ids;
  keys_.reserve(vocab.size());  // the views below must stay valid
  for (const auto& [text, id] : vocab) {
    std::optional<std::string> key =
        options_.byte_level ? FromByteLevel(text) : std::string(text);
    if (!key) continue;  // not in the alphabet: no bytes spell it
    keys_.push_back(*std::move(key));
    ids.push_back(id);
  }
  known_.reserve(keys_.size());
  for (size_t i = 0; i < keys_.size(); ++i) known_.emplace(keys_[i], ids[i]);
}

// The <0xNN> tokens of all bytes of `text`; empty if one is missing.
std::vector<int32_t> BpeModel::FallbackIds(const Vocab& vocab,
                                           std::string_view text) const {
  std::vector<int32_t> ids;
  for (const char byte : text) {
    ids.push_back(IdOf(vocab, ByteToken(static_cast<uint8_t>(byte))));
    if (ids.back() < 0) return {};
  }
  return ids;
}

void BpeModel::IndexUnits(const Vocab& vocab) {
  for (int byte = 0; byte < 256; ++byte) {
    const char unit = static_cast<char>(byte);
    byte_ids_[byte] = IdOf(known_, std::string_view(&unit, 1));
    fallback_ids_[byte] =
        options_.byte_fallback
            ? IdOf(vocab, ByteToken(static_cast<uint8_t>(byte)))
            : -1;
    if (options_.byte_level && options_.byte_fallback)
      alphabet_fallback_[byte] = FallbackIds(vocab, ByteLevelChar(byte));
  }
}

absl::Status BpeModel::AddMerges(
    const Vocab& vocab,
    const std::vector<std::pair<std::string_view, std::string_view>>& merges) {
  merges_.Reserve(merges.size());
  std::string whole;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    whole.assign(left).append(right);
    const int32_t ids[] = {IdOf(vocab, left), IdOf(vocab, right),
                           IdOf(vocab, whole)};
    const std::string_view texts[] = {left, right, whole};
    for (int i = 0; i < 3; ++i) {
      if (ids[i] >= 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "merge ", rank, " (\"", std::string(left.substr(0, 60)), "\" \"",
          std::string(right.substr(0, 60)), "\"): \"",
          std::string(texts[i].substr(0, 60)), "\" is not in the vocabulary"));
    }
    merges_.Set(ids[0], ids[1], {static_cast<int32_t>(rank), ids[2]});
  }
  return absl::OkStatus();
}

void BpeModel::Encode(std::string_view piece, Scratch* scratch,
                      std::vector<int32_t>* ids) const {
  if (options_.ignore_merges) {
    if (const int32_t id = IdOf(known_, piece); id >= 0)
      return ids->push_back(id);
  }
  if (!cut_before_metaspace_) return EncodePart(piece, scratch, ids);
  size_t begin = 0;
  for (size_t i = piece.find(kMetaspace, 1); i != std::string_view::npos;
       i = piece.find(kMetaspace, i + kMetaspace.size())) {
    if (piece.substr(begin, i - begin).ends_with(kMetaspace)) continue;
    EncodePart(piece.substr(begin, i - begin), scratch, ids);
    begin = i;
  }
  EncodePart(piece.substr(begin), scratch, ids);
}

void BpeModel::EncodePart(std::string_view part, Scratch* scratch,
                          std::vector<int32_t>* ids) const {
  constexpr size_t kShort = 32;  // scanning beats the heap up to about here
  scratch->ids.clear();
  FirstSymbols(part, &scratch->ids);
  scratch->ids.size() <= kShort ? MergeShort(scratch) : MergeLong(scratch);
  ids->insert(ids->end(), scratch->ids.begin(), scratch->ids.end());
}

void BpeModel::FirstSymbols(std::string_view part,
                            std::vector<int32_t>* ids) const {
  // An unknown token waits here until a known one follows; bytes that stand in
  // for a character overtake it. The order of the original, kept as it is.
  bool unk_waits = false;
  const auto add_fallback = [&](std::string_view unit) {
    const auto first = static_cast<uint8_t>(unit[0]);
    if (options_.byte_level) {
      const std::vector<int32_t>& some = alphabet_fallback_[first];
      ids->insert(ids->end(), some.begin(), some.end());
      return !some.empty();
    }
    for (const char c : unit)
      if (fallback_ids_[static_cast<uint8_t>(c)] < 0) return false;
    for (const char c : unit)
      ids->push_back(fallback_ids_[static_cast<uint8_t>(c)]);
    return true;
  };
  for (size_t i = 0; i < part.size();) {
    const int length = options_.byte_level ? 1 : CodePointAt(part, i).length;
    const std::string_view unit = part.substr(i, length);
    i += length;
    const int32_t id = length == 1 ? byte_ids_[static_cast<uint8_t>(unit[0])]
                                   : IdOf(known_, unit);
    if (id >= 0) {
      if (unk_waits) ids->push_back(*options_.unk_token);
      unk_waits = false;
      ids->push_back(id);
    } else if (options_.byte_fallback && add_fallback(unit)) {
      continue;
    } else if (options_.unk_token) {
      if (unk_waits && !options_.fuse_unk) ids->push_back(*options_.unk_token);
      unk_waits = true;
    }
  }
  if (unk_waits) ids->push_back(*options_.unk_token);
}

// Few symbols: the rank of every pair in an array, its minimum by scanning.
void BpeModel::MergeShort(Scratch* scratch) const {
  std::vector<int32_t>& ids = scratch->ids;
  std::vector<int32_t>& ranks = scratch->ranks;
  constexpr int32_t kNone = INT32_MAX;
  const auto rank_at = [&](size_t i) {
    const int32_t rank = merges_.Find(ids[i], ids[i + 1]).rank;
    return rank < 0 ? kNone : rank;
  };
  if (ids.size() < 2) return;
  ranks.resize(ids.size() - 1);
  for (size_t i = 0; i < ranks.size(); ++i) ranks[i] = rank_at(i);
  while (!ranks.empty()) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());
    if (*lowest == kNone) return;
    const size_t at = lowest - ranks.begin();
    ids[at] = merges_.Find(ids[at], ids[at + 1]).new_id;
    ids.erase(ids.begin() + at + 1);
    ranks.erase(lowest);
    if (at < ranks.size()) ranks[at] = rank_at(at);
    if (at > 0) ranks[at - 1] = rank_at(at - 1);
  }
}

// Many: a linked list of symbols and a heap of merges by (rank, position). An
// entry whose pair is gone by the time it comes up is skipped.
void BpeModel::MergeLong(Scratch* scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch->symbols;
  std::vector<Scratch::Candidate>& heap = scratch->heap;
  const auto size = static_cast<int32_t>(scratch->ids.size());
  symbols.clear();
  heap.clear();
  for (int32_t i = 0; i < size; ++i)
    symbols.push_back({scratch->ids[i], i - 1, i + 1 < size ? i + 1 : -1});

  const auto later = [](const Scratch::Candidate& a,
                        const Scratch::Candidate& b) {
    return std::pair(a.rank, a.position) > std::pair(b.rank, b.position);
  };
  const auto merge_at = [&](int32_t i) {
    const int32_t next = symbols[i].next;
    return next < 0 ? MergeTable::Merge{}
                    : merges_.Find(symbols[i].id, symbols[next].id);
  };
  const auto push = [&](int32_t i) {
    const MergeTable::Merge merge = merge_at(i);
    if (merge.rank < 0) return;
    heap.push_back({merge.rank, i, merge.new_id});
    std::push_heap(heap.begin(), heap.end(), later);
  };

  for (int32_t i = 0; i + 1 < size; ++i) {
    const MergeTable::Merge merge = merge_at(i);
    if (merge.rank >= 0) heap.push_back({merge.rank, i, merge.new_id});
  }
  std::make_heap(heap.begin(), heap.end(), later);
  constexpr int32_t kGone = -1;
  while (!heap.empty()) {
    const Scratch::Candidate top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    Scratch::Symbol& symbol = symbols[top.position];
    if (symbol.id == kGone || merge_at(top.position).new_id != top.new_id)
      continue;
    Scratch::Symbol& right = symbols[symbol.next];
    symbol.id = top.new_id;
    right.id = kGone;
    symbol.next = right.next;
    if (symbol.next >= 0) symbols[symbol.next].previous = top.position;
    push(top.position);
    if (symbol.previous >= 0) push(symbol.previous);
  }
  scratch->ids.clear();
  for (int32_t i = 0; i >= 0; i = symbols[i].next)
    scratch->ids.push_back(symbols[i].id);
}

}  // namespace quatrain
