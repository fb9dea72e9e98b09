#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quatrain {

// Writes down the plans of an epoch and when what happened, to replay a group
// or to show what was in flight. A file is a sequence of records, numbers in
// little-endian: kind (1 byte: 1 plan sent, 2 result arrived), step id (8),
// nanoseconds of the monotonic clock (8), length of the payload (4), payload
// (the serialized StepPlan; empty for results). Not thread-safe.
class PlanRecorder {
 public:
  // Replaces the file. Unavailable if it cannot be written.
  static absl::StatusOr<std::unique_ptr<PlanRecorder>> Open(
      const std::string& path);

  void PlanSent(uint64_t step_id, const std::string& plan_bytes);
  void ResultArrived(uint64_t step_id);

 private:
  explicit PlanRecorder(std::ofstream file) : file_(std::move(file)) {}
  void Write(char kind, uint64_t step_id, const std::string& payload);

  std::ofstream file_;
};

struct PlanRecord {
  enum Kind : char { kPlanSent = 1, kResultArrived = 2 };

  Kind kind = kPlanSent;
  uint64_t step_id = 0;
  absl::Duration time;  // of the monotonic clock
  std::string plan_bytes;
};

// All whole records of a file; a last one that was cut off is left out.
// NotFound, or InvalidArgument if it is no recording.
absl::StatusOr<std::vector<PlanRecord>> ReadPlanRecords(
    const std::string& path);

}  // namespace quatrain
