#include "coordinator/plan_recorder.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kHeaderBytes = 1 + 8 + 8 + 4;
constexpr size_t kMaxPayloadBytes = 16 << 20;

int64_t MonotonicNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlanRecorder>> PlanRecorder::Open(
    const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) {
    return absl::UnavailableError(
        absl::StrCat("--record-plans ", path, ": cannot be written"));
  }
  return std::unique_ptr<PlanRecorder>(new PlanRecorder(std::move(file)));
}

void PlanRecorder::PlanSent(uint64_t step_id, const std::string& plan_bytes) {
  Write(PlanRecord::kPlanSent, step_id, plan_bytes);
}

void PlanRecorder::ResultArrived(uint64_t step_id) {
  Write(PlanRecord::kResultArrived, step_id, "");
}

void PlanRecorder::Write(char kind, uint64_t step_id,
                         const std::string& payload) {
  const int64_t time = MonotonicNanoseconds();
  const auto length = static_cast<uint32_t>(payload.size());
  std::array<char, kHeaderBytes> header;
  header[0] = kind;
  std::memcpy(&header[1], &step_id, 8);
  std::memcpy(&header[9], &time, 8);
  std::memcpy(&header[17], &length, 4);
  file_.write(header.data(), header.size());
  file_.write(payload.data(), length);
}

absl::StatusOr<std::vector<PlanRecord>> ReadPlanRecords(
    const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  std::vector<PlanRecord> records;
  std::array<char, kHeaderBytes> header;
  while (file.read(header.data(), header.size())) {
    PlanRecord record;
    int64_t time = 0;
    uint32_t length = 0;
    record.kind = static_cast<PlanRecord::Kind>(header[0]);
    std::memcpy(&record.step_id, &header[1], 8);
    std::memcpy(&time, &header[9], 8);
    std::memcpy(&length, &header[17], 4);
    if (header[0] < 1 || header[0] > 2 || length > kMaxPayloadBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": record ", records.size(),
                       " is of no known kind: not a recording of plans"));
    }
    record.time = absl::Nanoseconds(time);
    record.plan_bytes.resize(length);
    if (!file.read(record.plan_bytes.data(), length)) break;
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace quatrain
