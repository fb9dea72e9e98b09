#include <cstring>
#include <limits>

#include "kernels/emu/access.h"
#include "kernels/emu/async.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/half_bits.h"
#include "kernels/emu/hopper.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/swizzle.h"

// wgmma m64nNk16: the accumulators hold poison from the issue to the wait, and
// shared memory is read as late as the wait. A warp's 16 rows depend on no
// other warp, so each is computed by itself; that the four of a group issue the
// same is checked when the block ends.
namespace simt::emu {
namespace {

constexpr int kK = 16;
constexpr int kRows = 16;
constexpr int kMaxN = 256;

// Bits of a descriptor: address / 16, stride / 16, the swizzle's number.
constexpr uint64_t kSwizzle128Bits = uint64_t{1} << 62;
constexpr int kStrideShift = 32;
constexpr uint64_t kField = 0x3FFF;

size_t RowOffset(uint64_t descriptor, int row) {
  const size_t start = (descriptor & kField) << 4;
  const size_t stride = (descriptor >> kStrideShift & kField) << 4;
  return start + row / 8 * stride + row % 8 * 128;
}

// Row `row` of a K-major tile as floats.
void ReadRow(const std::byte* arena, uint64_t descriptor, int row, bool bf16,
             float* out) {
  uint32_t words[kK / 2];
  for (int k = 0; k < kK; k += 8)
    std::memcpy(&words[k / 2],
                arena + Swizzle128(RowOffset(descriptor, row) + 2 * k), 16);
  (bf16 ? WidenBfloats : WidenHalves)(words, kK, out);
}

void TouchRow(const Cta& cta, uint64_t descriptor, int row, Place where) {
  for (int k = 0; k < kK; k += 8) {
    const std::byte* p =
        cta.arena.data() + Swizzle128(RowOffset(descriptor, row) + 2 * k);
    TouchShared(p, 16, Access::kAsyncRead, where);
  }
}

void GatherA(const WgmmaPending& op, const Cta& cta, int warp,
             float (&a)[kRows][kK]) {
  if (!op.a_in_registers) {
    for (int r = 0; r < kRows; ++r)
      ReadRow(cta.arena.data(), op.a_descriptor, 16 * (warp % 4) + r, op.bf16,
              a[r]);
    return;
  }
  for (int lane = 0; lane < 32; ++lane) {
    float wide[8];
    (op.bf16 ? WidenBfloats : WidenHalves)(op.a[lane].data(), 8, wide);
    for (int i = 0; i < 8; ++i)
      a[lane / 4 + 8 * (i / 2 % 2)][2 * (lane % 4) + i % 2 + 8 * (i / 4)] =
          wide[i];
  }
}

void Multiply(const WgmmaPending& op, const Cta& cta, int warp,
              std::vector<std::vector<float>>& held) {
  float a[kRows][kK];
  static thread_local float b[kMaxN][kK];
  GatherA(op, cta, warp, a);
  for (int n = 0; n < op.n; ++n)
    ReadRow(cta.arena.data(), op.b_descriptor, n, op.bf16, b[n]);
  for (int lane = 0; lane < 32; ++lane)
    for (int e = 0; e < op.n / 2; ++e) {
      const int row = lane / 4 + 8 * (e / 2 % 2);
      const int column = 8 * (e / 4) + 2 * (lane % 4) + e % 2;
      float sum = op.accumulate ? held[lane][e] : 0;
      for (int k = 0; k < kK; ++k) sum += a[row][k] * b[column][k];
      held[lane][e] = sum;
    }
}

// Takes the accumulators away from their registers, unless an earlier wgmma of
// the chain has.
void Hold(WarpQueue& queue, const WgmmaPending& op) {
  auto [it, is_new] = queue.held.try_emplace(op.d[0]);
  if (!is_new) return;
  for (int lane = 0; lane < 32; ++lane) {
    it->second.emplace_back(op.d[lane], op.d[lane] + op.n / 2);
    std::memset(op.d[lane], 0xFF, sizeof(float) * op.n / 2);
  }
}

bool InUse(const WarpQueue& queue, const float* d) {
  for (const WgmmaPending& op : queue.pending)
    if (op.d[0] == d) return true;
  return false;
}

void GiveBack(WarpQueue& queue, const WgmmaPending& op) {
  const auto it = queue.held.find(op.d[0]);
  if (it == queue.held.end()) return;
  for (int lane = 0; lane < 32; ++lane)
    std::memcpy(op.d[lane], it->second[lane].data(), sizeof(float) * op.n / 2);
  queue.held.erase(it);
}

void Issue(uint32_t, void* const* args) {
  Lane& me = *CurrentLane();
  WarpQueue& queue = me.cta->async.wgmma[me.warp];
  const auto& first = *static_cast<const WgmmaCall*>(args[0]);
  WgmmaPending op = {.n = first.n,
                     .bf16 = first.bf16,
                     .accumulate = first.accumulate,
                     .a_in_registers = first.a_registers != nullptr,
                     .a_descriptor = first.a_descriptor,
                     .b_descriptor = first.b_descriptor,
                     .a = {},
                     .d = {},
                     .group = queue.open_group,
                     .where = me.where};
  for (int lane = 0; lane < 32; ++lane) {
    const auto& call = *static_cast<const WgmmaCall*>(args[lane]);
    op.d[lane] = call.d;
    if (op.a_in_registers)
      std::memcpy(op.a[lane].data(), call.a_registers, sizeof(op.a[lane]));
  }
  queue.issued.push_back(
      {first.a_descriptor, first.b_descriptor, static_cast<uint64_t>(first.n)});
  Hold(queue, op);
  queue.pending.push_back(op);
  TheMachine().counters.wgmma += me.warp % 4 == 0;
}

void Finish(uint32_t, void* const* args) {
  Lane& me = *CurrentLane();
  const auto groups = static_cast<uint32_t>(*static_cast<int*>(args[0]));
  WarpQueue& queue = me.cta->async.wgmma[me.warp];
  while (!queue.pending.empty() &&
         queue.pending[0].group + groups < queue.open_group) {
    const WgmmaPending op = queue.pending[0];
    queue.pending.erase(queue.pending.begin());
    Multiply(op, *me.cta, me.warp, queue.held[op.d[0]]);
    if (!InUse(queue, op.d[0])) GiveBack(queue, op);
  }
}

}  // namespace

uint64_t WgmmaDescriptor(const void* tile, uint32_t stride_bytes, Place where) {
  const Arena& arena = CurrentLane()->cta->arena;
  if (!arena.Contains(tile))
    Fail(Fault::kWildPointer, where, "a descriptor of %p, not shared memory",
         tile);
  const auto offset =
      static_cast<uint64_t>(static_cast<const std::byte*>(tile) - arena.data());
  if (offset % 16 != 0 || stride_bytes % 16 != 0)
    Fail(Fault::kMisaligned, where, "a descriptor of offset %llu, stride %u",
         static_cast<unsigned long long>(offset), stride_bytes);
  return kSwizzle128Bits | uint64_t{stride_bytes >> 4} << kStrideShift |
         uint64_t{1} << 16 | (offset >> 4 & kField);
}

void Wgmma(const WgmmaCall& call, Place where) {
  Lane& me = *CurrentLane();
  if ((me.warp / 4 + 1) * 4 * kWarpLanes > me.cta->num_threads)
    Fail(Fault::kBadCall, where, "wgmma in an incomplete warpgroup");
  const auto touch = [&](uint64_t descriptor, int rows) {
    for (int row = me.lane; row < rows; row += 32)
      TouchRow(*me.cta, descriptor, row, where);
  };
  // Each warp reads all of B, and of A its own rows.
  touch(call.b_descriptor, call.n);
  if (call.a_registers == nullptr && me.lane < kRows)
    TouchRow(*me.cta, call.a_descriptor, 16 * (me.warp % 4) + me.lane, where);
  WgmmaCall mine = call;
  Rendezvous(~0u, OpKind::kWgmma, Issue, &mine, where);
}

void WgmmaCommit() {
  Lane& me = *CurrentLane();
  // The lanes of a warp come one after the other; the warp commits once.
  if (me.lane == 0) ++me.cta->async.wgmma[me.warp].open_group;
}

void WgmmaWait(int groups) {
  Rendezvous(~0u, OpKind::kWgmma, Finish, &groups, {});
}

}  // namespace simt::emu
