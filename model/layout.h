#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/range.h"

namespace quatrain {

// One pipeline stage: some layers, cut over shares.size() ranks in proportion
// to the shares.
struct Stage {
  Range layers;
  std::vector<int64_t> shares;  // >= 0, not all 0

  int tp_size() const { return static_cast<int>(shares.size()); }
  bool operator==(const Stage&) const = default;
};

// How a model is cut over ranks. Rank r of the whole counts through the stages
// in order; within a stage it is tp_rank.
struct Layout {
  std::vector<Stage> stages;

  int pp_size() const { return static_cast<int>(stages.size()); }
  int num_ranks() const;
  int FirstRankOf(int stage) const;
  int StageOf(int rank) const;   // rank in [0, num_ranks())
  int TpRankOf(int rank) const;  // within its stage
  bool operator==(const Layout&) const = default;
};

// What the flags say; empty or 0 is "not given".
struct LayoutFlags {
  int tp = 0;             // ranks of every stage
  int pp = 0;             // stages of (nearly) equal numbers of layers
  std::string layers;     // "0-39;40-79", both ends included
  std::string tp_shares;  // "3,2,1;1,1": one list per stage
};

// InvalidArgument, naming the flag, what it says and what was expected, for a
// wrong count, a negative share, shares that are all zero, and layers that are
// not covered exactly once, in order.
absl::StatusOr<Layout> MakeLayout(const LayoutFlags& flags, int num_layers);

absl::StatusOr<std::vector<Range>> ParseLayers(std::string_view text,
                                               int num_layers);
absl::StatusOr<std::vector<std::vector<int64_t>>> ParseShares(
    std::string_view text);

// What MakeLayout guarantees, for a layout that came from a peer.
absl::Status CheckLayout(const Layout& layout, int num_layers);

// "layers 0-39 tp 2; layers 40-79 tp 3 (3,2,1)"
std::string Describe(const Layout& layout);

// `units` cut in proportion to `shares`, by largest remainder, ties to the
// lower rank. A share of 0 gets nothing.
std::vector<int> Apportion(int units, const std::vector<int64_t>& shares);

}  // namespace quatrain
