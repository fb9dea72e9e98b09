#include <algorithm>
#include <cstring>

#include "kernels/emu/access.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/hopper.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/mbarriers.h"
#include "kernels/emu/swizzle.h"
#include "kernels/emu/traffic.h"

// cp.async.bulk and tensor copies: issued here, delivered when somebody polls
// their barrier.
namespace simt::emu {
namespace {

constexpr int kBulkUnit = 16;
constexpr size_t kSectorOfLog = 32;

void CheckUnits(const void* address, uint64_t unit, const char* what,
                Place where) {
  if (reinterpret_cast<uintptr_t>(address) % unit != 0)
    Fail(Fault::kMisaligned, where, "%s %p is not a multiple of %llu bytes",
         what, address, static_cast<unsigned long long>(unit));
}

// The destination holds poison from now on.
void BeginCopy(void* to, size_t bytes, Place where) {
  Lane& me = *CurrentLane();
  if (!me.cta->arena.Contains(to))
    Fail(Fault::kWildPointer, where, "%p is not in this block's shared memory",
         to);
  Touch(to, bytes, Access::kCopyIssue, {where});
  std::memset(to, 0xFF, bytes);
}

void EndIssue(Mbarrier& barrier, BulkPending copy) {
  ReleaseLane(*CurrentLane(), barrier.arriving);
  barrier.copies.push_back(std::move(copy));
  ++TheMachine().counters.bulk_copies;
}

void LogRow(const std::byte* from, size_t bytes, Place where) {
  for (size_t at = 0; at < bytes; at += kSectorOfLog)
    LogGlobal(from + at, std::min(kSectorOfLog, bytes - at), false, {where});
}

}  // namespace

void BulkCopy(void* to, const void* from, uint32_t bytes, uint64_t* word,
              Place where) {
  Mbarrier& barrier = FindMbarrier(word, where);
  CheckUnits(to, kBulkUnit, "the destination", where);
  CheckUnits(from, kBulkUnit, "the source", where);
  if (bytes == 0 || bytes % kBulkUnit != 0)
    Fail(Fault::kBadCall, where, "a bulk copy of %u bytes", bytes);
  Touch(from, bytes, Access::kRead, {where});
  LogRow(static_cast<const std::byte*>(from), bytes, where);
  BeginCopy(to, bytes, where);
  Arena& arena = CurrentLane()->cta->arena;
  EndIssue(barrier, {[=, &arena] {
                       std::memcpy(to, from, bytes);
                       DeliveredAsync(arena, to, bytes);
                     },
                     bytes, where});
}

bool MakeTensorMap(const TensorMap2d& wanted, TensorMap2d* map) {
  const uint64_t box_bytes =
      uint64_t{wanted.box_columns} * wanted.element_bytes;
  const bool box_ok = wanted.box_columns > 0 && wanted.box_columns <= 256 &&
                      wanted.box_rows > 0 && wanted.box_rows <= 256 &&
                      box_bytes % kBulkUnit == 0;
  if (!box_ok || wanted.columns == 0 || wanted.rows == 0 ||
      wanted.row_bytes % kBulkUnit != 0 ||
      reinterpret_cast<uintptr_t>(wanted.base) % kBulkUnit != 0 ||
      (wanted.swizzle128 && box_bytes > 128))
    return false;
  *map = wanted;
  return true;
}

namespace {

// One row of the box, zero outside of the matrix.
void DeliverRow(const TensorMap2d& map, int64_t column, int64_t row,
                size_t offset, std::byte* arena) {
  const int bytes = map.element_bytes;
  for (uint32_t c = 0; c < map.box_columns; ++c) {
    size_t at = offset + size_t{c} * bytes;
    if (map.swizzle128) at = Swizzle128(at);
    const int64_t x = column + c;
    const bool inside = x >= 0 && x < static_cast<int64_t>(map.columns) &&
                        row >= 0 && row < static_cast<int64_t>(map.rows);
    if (inside)
      std::memcpy(arena + at,
                  static_cast<const std::byte*>(map.base) +
                      row * map.row_bytes + x * bytes,
                  bytes);
    else
      std::memset(arena + at, 0, bytes);
  }
}

// The part of the box that lies in the matrix is read, row by row.
void TouchBox(const TensorMap2d& map, int64_t column, int64_t row,
              Place where) {
  const int64_t begin = std::max<int64_t>(column, 0);
  const int64_t end = std::min<int64_t>(column + map.box_columns, map.columns);
  for (int64_t r = std::max<int64_t>(row, 0);
       r < std::min<int64_t>(row + map.box_rows, map.rows) && begin < end;
       ++r) {
    const auto* from = static_cast<const std::byte*>(map.base) +
                       r * map.row_bytes + begin * map.element_bytes;
    const size_t bytes = (end - begin) * map.element_bytes;
    Touch(from, bytes, Access::kRead, {where});
    LogRow(from, bytes, where);
  }
}

}  // namespace

void BulkTensor2d(void* to, const TensorMap2d& map, int column, int row,
                  uint64_t* word, Place where) {
  Mbarrier& barrier = FindMbarrier(word, where);
  CheckUnits(to, map.swizzle128 ? 1024 : 128, "the destination", where);
  TouchBox(map, column, row, where);
  const size_t pitch = size_t{map.box_columns} * map.element_bytes;
  const size_t bytes = pitch * map.box_rows;
  BeginCopy(to, bytes, where);
  Arena& arena = CurrentLane()->cta->arena;
  EndIssue(barrier, {[=, &arena] {
                       const size_t begin =
                           static_cast<std::byte*>(to) - arena.data();
                       for (uint32_t r = 0; r < map.box_rows; ++r)
                         DeliverRow(map, column, int64_t{row} + r,
                                    begin + r * pitch, arena.data());
                       DeliveredAsync(arena, to, bytes);
                     },
                     static_cast<int64_t>(bytes), where});
}

}  // namespace simt::emu
