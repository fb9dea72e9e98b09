#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "tests/kernels/cuda/device.h"

namespace quatrain {

struct EqualSequences {
  int sequences;
  int cached;      // tokens of each, the new ones included
  int new_tokens;  // of each

  int tokens() const { return sequences * new_tokens; }
};

// A step of a batch of equal sequences, on the device.
class PagedStep {
 public:
  static constexpr int kBlockSize = 16;

  explicit PagedStep(const EqualSequences& shape)
      : blocks_((shape.cached + kBlockSize - 1) / kBlockSize),
        num_blocks_(shape.sequences * blocks_),
        tables_(Shuffled(num_blocks_)),
        positions_(Positions(shape)),
        slots_(Slots(shape)),
        ends_(Ends(shape)),
        device_tables_(tables_) {
    view_ = {shape.tokens(),       shape.sequences, blocks_,
             positions_.data(),    slots_.data(),   ends_.data(),
             device_tables_.data()};
  }

  const QuatrainStep& view() const { return view_; }
  int num_blocks() const { return num_blocks_; }

 private:
  // As after hours of serving: neighbours in a sequence lie anywhere.
  static std::vector<int32_t> Shuffled(int size) {
    std::vector<int32_t> blocks(size);
    std::iota(blocks.begin(), blocks.end(), 0);
    std::mt19937_64 engine(61);
    for (int i = size - 1; i > 0; --i)
      std::swap(blocks[i], blocks[engine() % (i + 1)]);
    return blocks;
  }
  static DeviceArray<int32_t> Positions(const EqualSequences& shape) {
    std::vector<int32_t> positions;
    for (int s = 0; s < shape.sequences; ++s)
      for (int t = 0; t < shape.new_tokens; ++t)
        positions.push_back(shape.cached - shape.new_tokens + t);
    return DeviceArray<int32_t>(positions);
  }
  DeviceArray<int64_t> Slots(const EqualSequences& shape) const {
    std::vector<int64_t> slots;
    for (int s = 0; s < shape.sequences; ++s)
      for (int t = 0; t < shape.new_tokens; ++t) {
        const int position = shape.cached - shape.new_tokens + t;
        const int64_t block = tables_[s * blocks_ + position / kBlockSize];
        slots.push_back(block * kBlockSize + position % kBlockSize);
      }
    return DeviceArray<int64_t>(slots);
  }
  static DeviceArray<int32_t> Ends(const EqualSequences& shape) {
    std::vector<int32_t> ends;
    for (int s = 0; s <= shape.sequences; ++s)
      ends.push_back(s * shape.new_tokens);
    return DeviceArray<int32_t>(ends);
  }

  int blocks_;  // of a sequence
  int num_blocks_;
  std::vector<int32_t> tables_;
  DeviceArray<int32_t> positions_;
  DeviceArray<int64_t> slots_;
  DeviceArray<int32_t> ends_, device_tables_;
  QuatrainStep view_;
};

}  // namespace quatrain
