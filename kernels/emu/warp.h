#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/emu/thread.h"

// Shuffles, votes and reductions. They order no memory, as in CUDA.
namespace simt::emu {

template <typename T>
struct ShuffleCall {
  T value;
  int source;  // lane, outside [0, 32): poison
  T result;
};

template <typename T>
T Shuffle(unsigned mask, T value, int source, Place where) {
  static_assert(std::is_trivially_copyable_v<T> &&
                (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8));
  ShuffleCall<T> call{value, source, value};
  Rendezvous(
      mask, OpKind::kShuffle,
      [](uint32_t lanes, void* const* args) {
        for (int lane = 0; lane < 32; ++lane) {
          if (!(lanes >> lane & 1)) continue;
          auto& mine = *static_cast<ShuffleCall<T>*>(args[lane]);
          if (mine.source >= 0 && mine.source < 32 && lanes >> mine.source & 1)
            mine.result =
                static_cast<ShuffleCall<T>*>(args[mine.source])->value;
          else  // a lane that is not there gives poison
            std::memset(static_cast<void*>(&mine.result), 0xFF, sizeof(T));
        }
      },
      &call, where);
  return call.result;
}

inline int LaneId() {
  const ThreadView& view = View();
  return static_cast<int>(
      (view.thread_idx.x +
       view.block_dim.x *
           (view.thread_idx.y + view.block_dim.y * view.thread_idx.z)) %
      32);
}

// `source` if it lies in the caller's segment of `width` lanes, else the
// caller.
inline int InSegment(int source, int width) {
  const int lane = LaneId();
  const int first = lane & ~(width - 1);
  return source >= first && source < first + width ? source : lane;
}

// A vote's or reduction's value in, everybody's result out.
template <typename T>
struct ReduceCall {
  T value;
  T result;
};

template <typename T, typename Fold>
T Reduce(unsigned mask, OpKind kind, T value, Fold, Place where) {
  static_assert(std::is_empty_v<Fold>);
  ReduceCall<T> call{value, value};
  Rendezvous(
      mask, kind,
      [](uint32_t lanes, void* const* args) {
        bool first = true;
        T total{};
        for (int lane = 0; lane < 32; ++lane) {
          if (!(lanes >> lane & 1)) continue;
          const T one = static_cast<ReduceCall<T>*>(args[lane])->value;
          total = first ? one : Fold::Apply(total, one);
          first = false;
        }
        for (int lane = 0; lane < 32; ++lane)
          if (lanes >> lane & 1)
            static_cast<ReduceCall<T>*>(args[lane])->result = total;
      },
      &call, where);
  return call.result;
}

struct FoldAdd {
  template <typename T>
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) +
                          static_cast<std::make_unsigned_t<T>>(b));
  }
};
struct FoldMin {
  template <typename T>
  static T Apply(T a, T b) {
    return b < a ? b : a;
  }
};
struct FoldMax {
  template <typename T>
  static T Apply(T a, T b) {
    return a < b ? b : a;
  }
};
struct FoldAnd {
  template <typename T>
  static T Apply(T a, T b) {
    return a & b;
  }
};
struct FoldOr {
  template <typename T>
  static T Apply(T a, T b) {
    return a | b;
  }
};
struct FoldXor {
  template <typename T>
  static T Apply(T a, T b) {
    return a ^ b;
  }
};

}  // namespace simt::emu

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              simt::Place where = simt::Place::Here()) {
  const int first = simt::emu::LaneId() & ~(width - 1);
  return simt::emu::Shuffle(mask, value, first + (source & (width - 1)), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Place where = simt::Place::Here()) {
  const int source = simt::emu::LaneId() - static_cast<int>(delta);
  return simt::emu::Shuffle(mask, value, simt::emu::InSegment(source, width),
                            where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Place where = simt::Place::Here()) {
  const int source = simt::emu::LaneId() + static_cast<int>(delta);
  return simt::emu::Shuffle(mask, value, simt::emu::InSegment(source, width),
                            where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  simt::Place where = simt::Place::Here()) {
  // Earlier segments may be read, later ones may not (PTX ISA, shfl.bfly).
  const int lane = simt::emu::LaneId();
  const int source = lane ^ lane_mask;
  const int last = lane | (width - 1);
  return simt::emu::Shuffle(mask, value, source <= last ? source : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              simt::Place where = simt::Place::Here()) {
  const unsigned bit = predicate ? 1u << simt::emu::LaneId() : 0;
  return simt::emu::Reduce(mask, simt::emu::OpKind::kVote, bit,
                           simt::emu::FoldOr(), where);
}
inline int __any_sync(unsigned mask, int predicate,
                      simt::Place where = simt::Place::Here()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      simt::Place where = simt::Place::Here()) {
  return __ballot_sync(mask, !predicate, where) == 0;
}

#define SIMT_REDUCE(name, T, Fold)                                    \
  inline T name(unsigned mask, T value,                               \
                simt::Place where = simt::Place::Here()) {            \
    return simt::emu::Reduce(mask, simt::emu::OpKind::kReduce, value, \
                             simt::emu::Fold(), where);               \
  }
SIMT_REDUCE(__reduce_add_sync, unsigned, FoldAdd)
SIMT_REDUCE(__reduce_add_sync, int, FoldAdd)
SIMT_REDUCE(__reduce_min_sync, unsigned, FoldMin)
SIMT_REDUCE(__reduce_min_sync, int, FoldMin)
SIMT_REDUCE(__reduce_max_sync, unsigned, FoldMax)
SIMT_REDUCE(__reduce_max_sync, int, FoldMax)
SIMT_REDUCE(__reduce_and_sync, unsigned, FoldAnd)
SIMT_REDUCE(__reduce_or_sync, unsigned, FoldOr)
SIMT_REDUCE(__reduce_xor_sync, unsigned, FoldXor)
#undef SIMT_REDUCE

// The lanes of `mask` that gave the same value.
template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          simt::Place where = simt::Place::Here()) {
  struct MatchCall {
    T value;
    unsigned same;
  };
  MatchCall call{value, 0};
  simt::emu::Rendezvous(
      mask, simt::emu::OpKind::kMatch,
      [](uint32_t lanes, void* const* args) {
        for (int a = 0; a < 32; ++a)
          for (int b = 0; b < 32; ++b)
            if (lanes >> a & lanes >> b & 1)
              if (static_cast<MatchCall*>(args[a])->value ==
                  static_cast<MatchCall*>(args[b])->value)
                static_cast<MatchCall*>(args[a])->same |= 1u << b;
      },
      &call, where);
  return call.same;
}
