#pragma once

#include <cstddef>

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"
#include "kernels/cuda/table_attention.h"

// Launchers of attention: nullptr, or what is wrong with the operands.
namespace quatrain::cuda {

const char* LaunchRopeTable(const QuatrainRopeTable& op, simt::Stream stream);
const char* LaunchStoreKv(const QuatrainStoreKv& op, simt::Stream stream);

// Bytes of QuatrainAttendWork::work.
const char* AttendBytes(const QuatrainAttendShape& shape, size_t* bytes);
const char* LaunchAttendWork(const QuatrainAttendWork& op, simt::Stream stream);
const char* LaunchAttend(const QuatrainAttend& op, simt::Stream stream);

}  // namespace quatrain::cuda
