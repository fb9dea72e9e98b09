// What:      int4 products of many rows by matrix tiles of 8-bit integers.
// How:       weights become bytes q - z, the layout of which is already that of
//            a matrix tile's second operand. A unit of work is one block of k,
//            16 outputs and a unit of rows: two tile products per 64 k, one for
//            each digit (xi = 256 * high + low) or each 16 rows. What a unit's
//            products leave is stored while the next unit multiplies, and is
//            scaled, rounded and added to 64-bit sums while the one after that
//            multiplies: the vector units work under the tiles' time.
// Compiled:  for x86-64 only; once with AMX's tiles and once with tiles in
//            memory, which any AVX-512 machine can run.

#include "kernels/cpu/int4_panel.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC 12 takes its own headers' undefined vectors for ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/exact_sum.h"

#if defined(__clang__)
#define QUATRAIN_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#define QUATRAIN_AVX512
#endif
#define QUATRAIN_AVX512_INLINE \
  QUATRAIN_AVX512 inline __attribute__((always_inline))

#include "kernels/cpu/int4_panel_operands-inl.h"

namespace quatrain {
namespace {

// What goes through the pipeline together: one block of k, 16 outputs, a unit
// of rows.
struct BlockProduct {
  const std::byte* digits = nullptr;
  const std::byte* weights = nullptr;
  int steps = 0;
  const float* output_scales = nullptr;  // [16]
  const float* row_scales = nullptr;     // [UnitRows]
  int64_t* sums = nullptr;               // [UnitRows][16]
  uint8_t* marks = nullptr;              // [UnitRows]
};

// sums[0, 16) += round_half_even(d * a * s), where s is in units of 2^-28.
template <bool kCheck>
QUATRAIN_AVX512_INLINE void AddRow(__m512i d, const BlockProduct& product,
                                   int row, __m512 s) {
  const __m512 a = _mm512_set1_ps(product.row_scales[row]);
  const __m512 c = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(d), a), s);
  if constexpr (kCheck) {
    const __mmask16 fits = _mm512_cmp_ps_mask(
        _mm512_abs_ps(c), _mm512_set1_ps(kMaxContribution * kFixedOne),
        _CMP_LT_OQ);
    if (fits != 0xffff) product.marks[row] = 1;
  }
  int64_t* sums = product.sums + row * kTileRows;
  const __m512i low = _mm512_cvtps_epi64(_mm512_castps512_ps256(c));
  const __m512i high = _mm512_cvtps_epi64(_mm512_extractf32x8_ps(c, 1));
  _mm512_store_si512(sums, _mm512_add_epi64(_mm512_load_si512(sums), low));
  _mm512_store_si512(sums + 8,
                     _mm512_add_epi64(_mm512_load_si512(sums + 8), high));
}

// A quarter of a unit's rows, whose products are stored at `products`.
template <int kDigits, bool kCheck>
QUATRAIN_AVX512_INLINE void FinishQuarter(const BlockProduct& product,
                                          const int32_t* products,
                                          int quarter) {
  const __m512 s = _mm512_load_ps(product.output_scales);
  for (int row = quarter * 4; row < quarter * 4 + 4; ++row) {
    const __m512i first = _mm512_load_si512(products + row * 16);
    const __m512i second = _mm512_load_si512(products + 256 + row * 16);
    if constexpr (kDigits == 2) {
      AddRow<kCheck>(_mm512_add_epi32(first, _mm512_slli_epi32(second, 8)),
                     product, row, s);
    } else {
      AddRow<kCheck>(first, product, row, s);
      AddRow<kCheck>(second, product, row + 16, s);
    }
  }
}

// Units go through three stages at once: multiply, store, finish.
template <class Tiles, int kDigits, bool kCheck>
class Pipeline {
 public:
  explicit Pipeline(int32_t* products) : products_(products) {}

  // A null unit ends the run; after two of them nothing is left.
  QUATRAIN_AVX512_INLINE void Push(const BlockProduct* product) {
    if (odd_)
      Advance<2, 0>(product);
    else
      Advance<0, 2>(product);
    odd_ = !odd_;
  }

 private:
  // kSet: the two tiles that are multiplied into; kStored: the two that the
  // unit before left.
  template <int kSet, int kStored>
  QUATRAIN_AVX512_INLINE void Advance(const BlockProduct* product) {
    int32_t* const finished = products_ + kSet * 256;
    int32_t* const stored = products_ + kStored * 256;
    const BlockProduct* const finish = in_memory_ ? &finish_ : nullptr;
    if (product != nullptr) {
      Tiles::template Zero<kSet>();
      Tiles::template Zero<kSet + 1>();
      LoadStep(*product, 0);
      Tiles::template Multiply<kSet, 4, 6>();
    }
    if (finish) FinishQuarter<kDigits, kCheck>(*finish, finished, 0);
    if (product != nullptr) Tiles::template Multiply<kSet + 1, 5, 6>();
    if (finish) FinishQuarter<kDigits, kCheck>(*finish, finished, 1);
    if (in_tiles_) Tiles::template Store<kStored>(stored);
    const bool more = product != nullptr && product->steps > 1;
    if (more) {
      LoadStep(*product, 1);
      Tiles::template Multiply<kSet, 4, 6>();
    }
    if (finish) FinishQuarter<kDigits, kCheck>(*finish, finished, 2);
    if (more) Tiles::template Multiply<kSet + 1, 5, 6>();
    if (finish) FinishQuarter<kDigits, kCheck>(*finish, finished, 3);
    if (in_tiles_) Tiles::template Store<kStored + 1>(stored + 256);
    finish_ = store_;
    in_memory_ = in_tiles_;
    in_tiles_ = product != nullptr;
    if (product != nullptr) store_ = *product;
  }

  QUATRAIN_AVX512_INLINE static void LoadStep(const BlockProduct& product,
                                              int step) {
    const std::byte* digits = product.digits + step * 2 * kTileBytes;
    Tiles::template Load<6>(product.weights + step * kTileBytes);
    Tiles::template Load<4>(digits);
    Tiles::template Load<5>(digits + kTileBytes);
  }

  int32_t* const products_;
  bool odd_ = false;
  bool in_tiles_ = false, in_memory_ = false;
  BlockProduct store_, finish_;
};

// Asks for the weights that the next blocks will be expanded from, a little at
// every unit.
class Prefetch {
 public:
  Prefetch(const Int4Panel& panel, int next_block, int num_units)
      : panel_(panel) {
    const BlockList& list = panel.list;
    if (next_block >= list.num_blocks()) return;
    const int last = std::min(next_block + kPanelBlocks, list.num_blocks()) - 1;
    begin_ = list.WordsOffset(next_block, panel.scale_dtype);
    end_ = list.WordsOffset(last, panel.scale_dtype) +
           int64_t{kVectorBytes} * list.blocks[last].groups;
    const int64_t lines =
        (end_ - begin_ + kTileLine - 1) / kTileLine * panel.num_tiles;
    per_unit_ = static_cast<int>((lines + num_units - 1) / num_units);
    at_ = begin_;
  }

  void Some() {
    for (int i = 0; i < per_unit_ && tile_ < panel_.num_tiles; ++i) {
      __builtin_prefetch(panel_.tiles + tile_ * panel_.tile_bytes + at_, 0, 2);
      at_ += kTileLine;
      if (at_ < end_) continue;
      at_ = begin_;
      ++tile_;
    }
  }

 private:
  const Int4Panel& panel_;
  int64_t begin_ = 0, end_ = 0, at_ = 0;
  int per_unit_ = 0, tile_ = 0;
};

template <class Tiles, int kDigits, bool kCheck>
QUATRAIN_AVX512 void MultiplyBlocks(const Int4Panel& panel,
                                    const PanelWorkspace& work, int first,
                                    int count) {
  const BlockList& list = panel.list;
  const PanelRows& x = panel.x;
  constexpr int kUnitRows = UnitRows(kDigits);
  constexpr int64_t kBlockBytes = int64_t{kMaxBlock} / kStepK * kTileBytes;
  for (int t = 0; t < panel.num_tiles; ++t)
    for (int i = 0; i < count; ++i) {
      const int at = t * kPanelBlocks + i;
      ExpandBlock(panel, t, first + i, work.weights + at * kBlockBytes,
                  work.scales + at * kTileRows);
    }
  Prefetch ahead(panel, first + count, x.units() * panel.num_tiles * count);
  Pipeline<Tiles, kDigits, kCheck> pipeline(work.products);
  for (int u = 0; u < x.units(); ++u) {
    for (int t = 0; t < panel.num_tiles; ++t) {
      for (int i = 0; i < count; ++i) {
        const BlockSpan& block = list.blocks[first + i];
        const int at = t * kPanelBlocks + i;
        const int64_t step =
            int64_t{block.first_step} * x.units() + int64_t{u} * block.steps();
        const BlockProduct product = {
            .digits = x.digits + step * 2 * kTileBytes,
            .weights = work.weights + at * kBlockBytes,
            .steps = block.steps(),
            .output_scales = work.scales + at * kTileRows,
            .row_scales =
                x.scales + int64_t{first + i} * x.padded_rows() + u * kUnitRows,
            .sums = work.sums +
                    (int64_t{u} * panel.num_tiles + t) * kUnitRows * kTileRows,
            .marks = work.marks + u * kUnitRows};
        pipeline.Push(&product);
        ahead.Some();
      }
    }
  }
  pipeline.Push(nullptr);
  pipeline.Push(nullptr);
}

template <class Tiles, int kDigits, bool kCheck>
QUATRAIN_AVX512 const int64_t* Multiply(const Int4Panel& panel) {
  Tiles::Begin();
  const int rows = panel.x.padded_rows();
  const PanelWorkspace work(panel.workspace, rows);
  std::memset(work.marks, 0, rows);
  std::memset(work.sums, 0,
              int64_t{rows} * panel.num_tiles * kTileRows * sizeof(int64_t));
  const int num_blocks = panel.list.num_blocks();
  for (int b = 0; b < num_blocks; b += kPanelBlocks)
    MultiplyBlocks<Tiles, kDigits, kCheck>(
        panel, work, b, std::min(kPanelBlocks, num_blocks - b));
  Tiles::End();
  for (int r = 0; kCheck && r < panel.x.rows; ++r)
    panel.marks[r] |= work.marks[r];
  return work.sums;
}

template <class Tiles>
constexpr PanelKernels kPanelKernels = {
    Arrange,
    {{Multiply<Tiles, 1, false>, Multiply<Tiles, 1, true>},
     {Multiply<Tiles, 2, false>, Multiply<Tiles, 2, true>}}};

}  // namespace
#if !defined(__clang__)
#pragma GCC pop_options
#endif

const PanelKernels* PanelKernelsFor(Isa isa) {
  if (isa == Isa::kAmx) return &kPanelKernels<HardwareTiles>;
  if (isa == Isa::kAmxEmulated) return &kPanelKernels<EmulatedTiles>;
  return nullptr;
}

}  // namespace quatrain
#endif  // __x86_64__
