#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quatrain {

// (left id, right id) -> (rank, new id): one flat table with open addressing,
// because a lookup per pair of neighbours is most of what encoding costs.
class MergeTable {
 public:
  struct Merge {
    int32_t rank = -1;  // -1: no such merge
    int32_t new_id = -1;
  };

  // Empties the table and makes room.
  void Reserve(size_t num_merges) {
    bits_ = 4;
    while ((size_t{1} << bits_) < num_merges * 2) ++bits_;
    slots_.assign(size_t{1} << bits_, Slot{});
  }

  // The last Set of a pair holds. At most Reserve's number of pairs.
  void Set(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[Place(Key(left, right))];
    slot = {Key(left, right), merge};
  }

  Merge Find(int32_t left, int32_t right) const {
    return slots_[Place(Key(left, right))].merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };

  static uint64_t Key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 |
           static_cast<uint32_t>(right);
  }
  // Where `key` is, or where it would be put. At least half is empty.
  size_t Place(uint64_t key) const {
    const uint64_t mixed = (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
    const size_t mask = slots_.size() - 1;
    size_t i = mixed >> (64 - bits_);
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask;
    return i;
  }

  int bits_ = 4;
  std::vector<Slot> slots_ = std::vector<Slot>(16);
};

}  // namespace quatrain
