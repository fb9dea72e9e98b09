// The C table: every entry checks, launches, and turns what went wrong into a
// code and a message.

#include "kernels/cuda/table.h"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/dequant_plan.h"
#include "kernels/cuda/int4_half_plan.h"
#include "kernels/cuda/int4_medium_plan.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/sampling.h"

#ifndef QUATRAIN_CUDA_BUILD_ID
#define QUATRAIN_CUDA_BUILD_ID "unknown"
#endif

namespace quatrain::cuda {
namespace {

int Answer(const char* wrong, const char* operation) {
  if (wrong != nullptr) return runtime::Fail(kQuatrainBadArgument, wrong);
  return runtime::CheckLaunch(operation);
}

template <typename Op, const char* (*kLauncher)(const Op&, simt::Stream)>
int Launch(const Op* op, QuatrainStream stream) {
  return Answer(kLauncher(*op, runtime::ToStream(stream)), "launch");
}

int Product(const QuatrainProduct* op, QuatrainStream stream) {
  return Answer(
      LaunchProduct(*op, runtime::NumSms(), runtime::ToStream(stream)),
      "product");
}

int64_t ProductScratchBytes(int num_sms, int num_digits) {
  return MediumScratch(num_sms, num_digits).total;
}

int64_t DequantScratchBytes(int num_tokens, int rows, int num_pairs) {
  return DequantScratch(num_tokens, rows, num_pairs).total;
}

int64_t HalfScratchBytes(int num_tokens, int num_pairs, int num_blocks) {
  return HalfScratch(num_tokens, num_pairs, num_blocks).total;
}

int FusedFits(int num_tokens, int num_pairs, int num_blocks, int num_digits) {
  return FusedProductFits(num_tokens, num_pairs, num_blocks, num_digits) ? 1
                                                                         : 0;
}

int FusedProduct(const QuatrainFusedProduct* op, QuatrainStream stream) {
  return Answer(
      LaunchFusedProduct(*op, runtime::NumSms(), runtime::ToStream(stream)),
      "fused_product");
}

int AttendWorkBytes(const QuatrainAttendShape* shape, size_t* bytes) {
  const char* wrong = AttendBytes(*shape, bytes);
  return wrong != nullptr ? runtime::Fail(kQuatrainBadArgument, wrong)
                          : static_cast<int>(kQuatrainOk);
}

int SampleBytes(int num_ids, size_t* bytes) {
  *bytes = SampleScratchBytes(num_ids);
  return kQuatrainOk;
}

int PackDense(const QuatrainDense* linear, void* tiles, const void* from,
              int row_begin, int row_end, QuatrainStream stream) {
  return Answer(LaunchPackDense(*linear, tiles, from, row_begin, row_end,
                                runtime::ToStream(stream)),
                "pack_dense");
}

int DequantProduct(const QuatrainDequantProduct* op, QuatrainStream stream) {
  const int error = LaunchDequantProduct(*op, stream);
  return error != kQuatrainOk ? error : runtime::CheckLaunch("dequant_product");
}

int HalfProduct(const QuatrainDequantProduct* op, QuatrainStream stream) {
  const int error = LaunchHalfProduct(*op, stream);
  return error != kQuatrainOk ? error : runtime::CheckLaunch("half_product");
}

int LayOutBlocks(const QuatrainBlocks* blocks, int is_int4, int dtype,
                 void* table, QuatrainLayout* layout) {
  const char* wrong =
      LayOut(*blocks, is_int4 != 0, dtype, static_cast<KBlock*>(table), layout);
  return wrong != nullptr ? runtime::Fail(kQuatrainBadArgument, wrong)
                          : static_cast<int>(kQuatrainOk);
}

QuatrainCudaV1 MakeTable() {
  QuatrainCudaV1 table = {};
  table.size = sizeof(table);
  table.build_id = QUATRAIN_CUDA_BUILD_ID;
  table.is_emulation = runtime::kIsEmulation;
  table.message = runtime::Message;

  table.num_devices = runtime::NumDevices;
  table.set_device = runtime::SetDevice;
  table.device_info = runtime::DeviceInfo;
  table.malloc = runtime::Malloc;
  table.free = runtime::Free;
  table.malloc_pinned = runtime::MallocPinned;
  table.free_pinned = runtime::FreePinned;
  table.copy = runtime::Copy;
  table.fill = runtime::Fill;
  table.stream_create = runtime::StreamCreate;
  table.stream_destroy = runtime::StreamDestroy;
  table.stream_synchronize = runtime::StreamSynchronize;
  table.event_create = runtime::EventCreate;
  table.event_destroy = runtime::EventDestroy;
  table.event_record = runtime::EventRecord;
  table.event_wait = runtime::EventWait;
  table.event_synchronize = runtime::EventSynchronize;
  table.event_elapsed_ms = runtime::EventElapsedMs;
  table.capture_begin = runtime::CaptureBegin;
  table.capture_end = runtime::CaptureEnd;
  table.graph_launch = runtime::GraphLaunch;
  table.graph_destroy = runtime::GraphDestroy;

  table.block_table = LayOutBlocks;
  table.pack_int4 = Launch<QuatrainPackInt4, LaunchPackInt4>;
  table.pack_dense = PackDense;
  table.digits = Launch<QuatrainMakeDigits, LaunchDigits>;
  table.product = Product;
  table.product_scratch_bytes = ProductScratchBytes;
  table.fused_product_fits = FusedFits;
  table.fused_product = FusedProduct;
  table.dequant_scratch_bytes = DequantScratchBytes;
  table.dequant_product = DequantProduct;
  table.half_scratch_bytes = HalfScratchBytes;
  table.half_product = HalfProduct;
  table.dense_product = Launch<QuatrainDenseProduct, LaunchDenseProduct>;
  table.store_marks = Launch<QuatrainStoreMarks, LaunchStoreMarks>;
  table.embed = Launch<QuatrainEmbed, LaunchEmbed>;
  table.embed_tied = Launch<QuatrainEmbedTied, LaunchEmbedTied>;
  table.rms_norm = Launch<QuatrainRmsNorm, LaunchRmsNorm>;
  table.reduce_add = Launch<QuatrainReduceAdd, LaunchReduceAdd>;
  table.gate = Launch<QuatrainGate, LaunchGate>;

  table.rope_table = Launch<QuatrainRopeTable, LaunchRopeTable>;
  table.store_kv = Launch<QuatrainStoreKv, LaunchStoreKv>;
  table.attend_bytes = AttendWorkBytes;
  table.attend_work = Launch<QuatrainAttendWork, LaunchAttendWork>;
  table.attend = Launch<QuatrainAttend, LaunchAttend>;
  table.attend_mma = Launch<QuatrainAttend, LaunchAttendMma>;

  table.sample_scratch_bytes = SampleBytes;
  table.transform = Launch<QuatrainTransform, LaunchTransform>;
  table.sample = Launch<QuatrainSample, LaunchSample>;
  table.sample_part = Launch<QuatrainSamplePart, LaunchSamplePart>;
  table.count_before = Launch<QuatrainCount, LaunchCount>;
  return table;
}

}  // namespace
}  // namespace quatrain::cuda

extern "C" const QuatrainCudaV1* quatrain_cuda_v1(void) {
  static const QuatrainCudaV1 table = quatrain::cuda::MakeTable();
  return &table;
}
