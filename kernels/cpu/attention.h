#pragma once

#include "base/matrix_view.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace quatrain {

// Backend::Attend on the threads of `pool`: first the tokens are rotated (qkv
// in place) and stored, then rows that share a KV head attend together, in
// tasks that the threads take in turn. Where there are fewer tasks than threads
// and much to read, a task's segments are shared too.
void CpuAttend(MatrixView qkv, const AttentionSpec& spec, const StepView& step,
               const KvLayer& kv, Isa isa, ThreadPool& pool,
               const ScratchShape& shape, std::byte* scratch, MatrixView out);

}  // namespace quatrain
