#pragma once

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace quatrain {

inline google::protobuf::Duration ToDuration(absl::Duration duration) {
  google::protobuf::Duration converted;
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  converted.set_seconds(nanos / 1'000'000'000);
  converted.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return converted;
}

inline google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp converted;
  const int64_t nanos = absl::ToUnixNanos(time);
  converted.set_seconds(nanos / 1'000'000'000);
  converted.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return converted;
}

}  // namespace quatrain
