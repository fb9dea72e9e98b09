#include "model/layout.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr int kMaxRanks = 1024;
constexpr int64_t kMaxShare = 1'000'000;

absl::Status Refused(const std::string& why) {
  return absl::InvalidArgumentError(why);
}

std::string Text(Range layers) {
  return layers.size() == 1 ? absl::StrCat(layers.begin)
                            : absl::StrCat(layers.begin, "-", layers.end - 1);
}

std::vector<std::string> Split(std::string_view text, char separator) {
  return absl::StrSplit(std::string(text), separator);
}

// A number without sign or blanks.
std::optional<int64_t> Number(const std::string& text) {
  int64_t value = 0;
  const bool digits =
      !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  if (!digits || !absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

absl::StatusOr<Range> ParseLayerRange(const std::string& text,
                                      const std::string& all, int num_layers) {
  const size_t dash = text.find('-');
  const std::optional<int64_t> first = Number(text.substr(0, dash));
  const std::optional<int64_t> last =
      dash == std::string::npos ? first : Number(text.substr(dash + 1));
  if (!first || !last) {
    return Refused(absl::StrCat("--layers ", all, ": \"", text,
                                "\" is no range, expected FIRST-LAST"));
  }
  if (*first > *last || *last >= num_layers) {
    return Refused(absl::StrCat("--layers ", all, ": \"", text,
                                "\", the model has layers 0-", num_layers - 1));
  }
  return Range{static_cast<int>(*first), static_cast<int>(*last) + 1};
}

// Every layer once, in order.
absl::Status CheckCover(const std::vector<Range>& ranges, int num_layers,
                        const std::string& what) {
  int next = 0;
  for (const Range& range : ranges) {
    if (range.begin < next) {
      return Refused(absl::StrCat(what, ": layer ", range.begin,
                                  " is in two stages or out of order"));
    }
    if (range.begin > next) {
      return Refused(absl::StrCat(what, ": layer ", next, " is in no stage"));
    }
    if (range.empty())
      return Refused(absl::StrCat(what, ": a stage without layers"));
    next = range.end;
  }
  if (next < num_layers)
    return Refused(absl::StrCat(what, ": layer ", next, " is in no stage"));
  if (next > num_layers) {
    return Refused(absl::StrCat(what, ": layer ", next - 1,
                                ", the model has layers 0-", num_layers - 1));
  }
  return absl::OkStatus();
}

absl::Status CheckShares(const std::vector<int64_t>& shares,
                         const std::string& what) {
  if (shares.empty()) return Refused(absl::StrCat(what, ": no share"));
  for (const int64_t share : shares) {
    if (share < 0)
      return Refused(absl::StrCat(what, ": ", share, " is negative"));
    if (share > kMaxShare) {
      return Refused(
          absl::StrCat(what, ": ", share, ", at most ", kMaxShare, " works"));
    }
  }
  if (std::all_of(shares.begin(), shares.end(),
                  [](int64_t share) { return share == 0; }))
    return Refused(absl::StrCat(what, ": all shares of a stage are zero"));
  return absl::OkStatus();
}

// The layers of each stage, from --layers or --pp.
absl::StatusOr<std::vector<Range>> StageLayers(const LayoutFlags& flags,
                                               int num_layers) {
  if (flags.pp < 0)
    return Refused(absl::StrCat("--pp ", flags.pp, ": expected 1 or more"));
  if (!flags.layers.empty()) {
    ASSIGN_OR_RETURN(std::vector<Range> ranges,
                     ParseLayers(flags.layers, num_layers));
    if (flags.pp != 0 && flags.pp != static_cast<int>(ranges.size())) {
      return Refused(absl::StrCat("--layers ", flags.layers, ": ",
                                  ranges.size(), " stages, --pp says ",
                                  flags.pp));
    }
    return ranges;
  }
  const int pp = std::max(1, flags.pp);
  if (pp > num_layers) {
    return Refused(absl::StrCat("--pp ", pp, ": the model has ", num_layers,
                                " layers, so at most ", num_layers, " stages"));
  }
  std::vector<Range> ranges;
  int begin = 0;
  for (const int size : Apportion(num_layers, std::vector<int64_t>(pp, 1))) {
    ranges.push_back({begin, begin + size});
    begin += size;
  }
  return ranges;
}

// The shares of each of `num_stages` stages, from --tp-shares or --tp.
absl::StatusOr<std::vector<std::vector<int64_t>>> StageShares(
    const LayoutFlags& flags, size_t num_stages) {
  if (flags.tp < 0)
    return Refused(absl::StrCat("--tp ", flags.tp, ": expected 1 or more"));
  if (flags.tp > kMaxRanks) {
    return Refused(absl::StrCat("--tp ", flags.tp, ": at most ", kMaxRanks,
                                " ranks work"));
  }
  if (flags.tp_shares.empty()) {
    return std::vector<std::vector<int64_t>>(
        num_stages, std::vector<int64_t>(std::max(1, flags.tp), 1));
  }
  ASSIGN_OR_RETURN(std::vector<std::vector<int64_t>> shares,
                   ParseShares(flags.tp_shares));
  if (shares.size() != num_stages) {
    return Refused(absl::StrCat("--tp-shares ", flags.tp_shares, ": shares of ",
                                shares.size(), " stages, expected ", num_stages,
                                " (\";\" between stages)"));
  }
  for (const std::vector<int64_t>& stage : shares) {
    if (flags.tp != 0 && static_cast<int>(stage.size()) != flags.tp) {
      return Refused(absl::StrCat("--tp-shares ", flags.tp_shares, ": ",
                                  stage.size(),
                                  " shares in a stage, --tp says ", flags.tp));
    }
  }
  return shares;
}

bool Equal(const std::vector<int64_t>& shares) {
  return std::all_of(shares.begin(), shares.end(),
                     [&](int64_t share) { return share == shares[0]; });
}

}  // namespace

int Layout::num_ranks() const { return FirstRankOf(pp_size()); }

int Layout::FirstRankOf(int stage) const {
  int rank = 0;
  for (int i = 0; i < stage; ++i) rank += stages[i].tp_size();
  return rank;
}

int Layout::StageOf(int rank) const {
  CHECK_GE(rank, 0);
  int stage = 0;
  while (rank >= stages[stage].tp_size()) {
    rank -= stages[stage++].tp_size();
    CHECK_LT(stage, pp_size());
  }
  return stage;
}

int Layout::TpRankOf(int rank) const {
  return rank - FirstRankOf(StageOf(rank));
}

absl::StatusOr<std::vector<Range>> ParseLayers(std::string_view text,
                                               int num_layers) {
  const std::string all(text);
  std::vector<Range> ranges;
  for (const std::string& part : Split(text, ';')) {
    ASSIGN_OR_RETURN(const Range range, ParseLayerRange(part, all, num_layers));
    ranges.push_back(range);
  }
  RETURN_IF_ERROR(
      CheckCover(ranges, num_layers, absl::StrCat("--layers ", all)));
  return ranges;
}

absl::StatusOr<std::vector<std::vector<int64_t>>> ParseShares(
    std::string_view text) {
  const std::string what = absl::StrCat("--tp-shares ", std::string(text));
  std::vector<std::vector<int64_t>> stages;
  for (const std::string& stage : Split(text, ';')) {
    std::vector<int64_t> shares;
    for (const std::string& part : Split(stage, ',')) {
      const std::optional<int64_t> share = Number(part);
      if (!share && part.size() > 1 && part[0] == '-' && Number(part.substr(1)))
        return Refused(absl::StrCat(what, ": ", part, " is negative"));
      if (!share) {
        return Refused(absl::StrCat(what, ": \"", part,
                                    "\" is no share, expected a whole number"));
      }
      shares.push_back(*share);
    }
    RETURN_IF_ERROR(CheckShares(shares, what));
    stages.push_back(std::move(shares));
  }
  return stages;
}

absl::StatusOr<Layout> MakeLayout(const LayoutFlags& flags, int num_layers) {
  ASSIGN_OR_RETURN(const std::vector<Range> layers,
                   StageLayers(flags, num_layers));
  ASSIGN_OR_RETURN(std::vector<std::vector<int64_t>> shares,
                   StageShares(flags, layers.size()));
  Layout layout;
  for (size_t i = 0; i < layers.size(); ++i)
    layout.stages.push_back({layers[i], std::move(shares[i])});
  RETURN_IF_ERROR(CheckLayout(layout, num_layers));
  return layout;
}

absl::Status CheckLayout(const Layout& layout, int num_layers) {
  std::vector<Range> layers;
  for (const Stage& stage : layout.stages) {
    layers.push_back(stage.layers);
    RETURN_IF_ERROR(CheckShares(
        stage.shares, absl::StrCat("layout: layers ", Text(stage.layers))));
  }
  RETURN_IF_ERROR(CheckCover(layers, num_layers, "layout"));
  if (layout.num_ranks() > kMaxRanks) {
    return Refused(absl::StrCat("layout: ", layout.num_ranks(),
                                " ranks, at most ", kMaxRanks, " work"));
  }
  return absl::OkStatus();
}

std::string Describe(const Layout& layout) {
  std::vector<std::string> parts;
  for (const Stage& stage : layout.stages) {
    std::string part =
        absl::StrCat("layers ", Text(stage.layers), " tp ", stage.tp_size());
    if (!Equal(stage.shares))
      absl::StrAppend(&part, " (", absl::StrJoin(stage.shares, ","), ")");
    parts.push_back(std::move(part));
  }
  return absl::StrJoin(parts, "; ");
}

std::vector<int> Apportion(int units, const std::vector<int64_t>& shares) {
  const int64_t total =
      std::accumulate(shares.begin(), shares.end(), int64_t{0});
  CHECK_GT(total, 0);
  std::vector<int> parts;
  std::vector<std::pair<int64_t, size_t>> remainders;  // (-remainder, rank)
  int left = units;
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    parts.push_back(static_cast<int>(units * shares[rank] / total));
    remainders.push_back({-(units * shares[rank] % total), rank});
    left -= parts.back();
  }
  std::sort(remainders.begin(), remainders.end());
  for (int i = 0; i < left; ++i) ++parts[remainders[i].second];
  return parts;
}

}  // namespace quatrain
