#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cuda/table_attention.h"

// Which heads a rank of a tensor group has, as model/shard_plan.cc cuts them,
// which needs more than the standard library: whole query heads by the ranks'
// shares, and every KV head that one of them reads. Ranks may share a KV head.
namespace quatrain {

// Model/layout.cc's Apportion(): the largest remainders get what is left, the
// first of equal ones before the others.
inline std::vector<int> ApportionHeads(int heads,
                                       const std::vector<int>& shares) {
  int total = 0, left = heads;
  for (const int share : shares) total += share;
  std::vector<int> parts;
  std::vector<std::pair<int, size_t>> remainders;  // negative
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    parts.push_back(heads * shares[rank] / total);
    remainders.push_back({-(heads * shares[rank] % total), rank});
    left -= parts.back();
  }
  std::sort(remainders.begin(), remainders.end());
  for (int i = 0; i < left; ++i) ++parts[remainders[i].second];
  return parts;
}

// The uses of query heads [begin, end), counted from the rank's own first.
inline std::vector<QuatrainHeadUse> UsesOf(int begin, int end, int per_kv) {
  std::vector<QuatrainHeadUse> uses;
  for (int q = begin; q < end;) {
    const int last = std::min(end, (q / per_kv + 1) * per_kv);
    uses.push_back({static_cast<int32_t>(uses.size()), q - begin, last - q});
    q = last;
  }
  return uses;
}

// `kv_heads` KV heads, each read by `count` query heads.
inline std::vector<QuatrainHeadUse> Groups(int kv_heads, int count) {
  return UsesOf(0, kv_heads * count, count);
}

// Of every rank; empty where a rank has no head.
inline std::vector<std::vector<QuatrainHeadUse>> RankHeads(
    int q_heads, int kv_heads, const std::vector<int>& shares) {
  std::vector<std::vector<QuatrainHeadUse>> ranks;
  int begin = 0;
  for (const int heads : ApportionHeads(q_heads, shares)) {
    ranks.push_back(UsesOf(begin, begin + heads, q_heads / kv_heads));
    begin += heads;
  }
  return ranks;
}

}  // namespace quatrain
