#include "coordinator/plan_recorder.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

class PlanRecorderTest : public testing::Test {
 protected:
  ~PlanRecorderTest() override { std::remove(path_.c_str()); }
  const std::string path_ = testing::TempDir() + "/plan_recorder_test.plans";
};

TEST_F(PlanRecorderTest, WhatWasWrittenIsRead) {
  {
    auto recorder = *PlanRecorder::Open(path_);
    recorder->PlanSent(1, "plan");
    recorder->ResultArrived(1);
  }
  const auto records = *ReadPlanRecords(path_);

  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].kind, PlanRecord::kPlanSent);
  EXPECT_EQ(records[0].step_id, 1u);
  EXPECT_EQ(records[0].plan_bytes, "plan");
  EXPECT_EQ(records[1].kind, PlanRecord::kResultArrived);
  EXPECT_LE(records[0].time, records[1].time);
}

TEST_F(PlanRecorderTest, RecordThatWasCutOffIsLeftOut) {
  {
    auto recorder = *PlanRecorder::Open(path_);
    recorder->PlanSent(1, "plan");
    recorder->PlanSent(2, "plan");
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);

  EXPECT_EQ(ReadPlanRecords(path_)->size(), 1u);
}

TEST_F(PlanRecorderTest, RefusesOtherFiles) {
  std::ofstream(path_) << "this is a text that is no recording";
  EXPECT_EQ(ReadPlanRecords(path_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadPlanRecords("/nowhere").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(PlanRecorder::Open("/nowhere/file").status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace quatrain
