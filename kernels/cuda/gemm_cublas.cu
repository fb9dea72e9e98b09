// Matrix products of f16 and bf16 by cublasLt, loaded when first asked for: a
// library of some 500 MB that exact runs and CPU machines do without. So does a
// build without its header. A shape's first call makes what it needs of the
// library: not while a graph is captured.

#include "kernels/cuda/runtime.h"

#if __has_include(<cublasLt.h>)

#include <cublasLt.h>
#include <dlfcn.h>

#include <map>
#include <mutex>
#include <tuple>

namespace quatrain::cuda::runtime {
namespace {

// The entries that we call.
struct CublasLt {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  std::string failure;

  CublasLt() {
    void* library = nullptr;
    for (const char* name :
         {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"})
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      failure = std::string("cublasLt is not installed: ") + dlerror();
      return;
    }
    Find(library, "cublasLtCreate", create);
    Find(library, "cublasLtMatmul", matmul);
    Find(library, "cublasLtMatmulDescCreate", desc_create);
    Find(library, "cublasLtMatmulDescSetAttribute", desc_set);
    Find(library, "cublasLtMatrixLayoutCreate", layout_create);
    Find(library, "cublasLtMatmulPreferenceCreate", preference_create);
    Find(library, "cublasLtMatmulPreferenceSetAttribute", preference_set);
    Find(library, "cublasLtMatmulPreferenceDestroy", preference_destroy);
    Find(library, "cublasLtMatmulAlgoGetHeuristic", heuristic);
  }

  template <typename T>
  void Find(void* library, const char* name, T& entry) {
    entry = reinterpret_cast<T>(dlsym(library, name));
    if (entry == nullptr && failure.empty())
      failure = std::string("cublasLt has no ") + name;
  }
};

const CublasLt& Library() {
  static const CublasLt library;
  return library;
}

// Everything that a shape needs, made once: descriptions live as long as the
// process, a few hundred bytes for each of a few shapes.
struct Plan {
  cublasLtHandle_t handle = nullptr;  // the device's
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
};

// Column-major as the library sees it: y (rows x tokens) = w^T (rows x k) * x.
Plan MakePlan(const HalfGemm& gemm, cublasLtHandle_t handle) {
  const CublasLt& lt = Library();
  const cudaDataType_t type = gemm.bfloat ? CUDA_R_16BF : CUDA_R_16F;
  const cublasOperation_t transposed = CUBLAS_OP_T;
  Plan plan;
  plan.handle = handle;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const auto step = [&](cublasStatus_t status) {
    if (plan.status == CUBLAS_STATUS_SUCCESS) plan.status = status;
    return plan.status == CUBLAS_STATUS_SUCCESS;
  };
  if (step(handle != nullptr ? CUBLAS_STATUS_SUCCESS
                             : CUBLAS_STATUS_NOT_INITIALIZED) &&
      step(lt.desc_create(&plan.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
      step(lt.desc_set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                       sizeof(transposed))) &&
      step(lt.layout_create(&plan.w, type, gemm.k, gemm.rows, gemm.k)) &&
      step(lt.layout_create(&plan.x, type, gemm.k, gemm.tokens, gemm.k)) &&
      step(lt.layout_create(&plan.y, CUDA_R_32F, gemm.rows, gemm.tokens,
                            gemm.rows)) &&
      step(lt.preference_create(&preference)) &&
      step(lt.preference_set(
          preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
          &gemm.workspace_bytes, sizeof(gemm.workspace_bytes))) &&
      step(lt.heuristic(plan.handle, plan.desc, plan.w, plan.x, plan.y, plan.y,
                        preference, 1, &result, &found)) &&
      found == 0)
    plan.status = CUBLAS_STATUS_NOT_SUPPORTED;
  plan.algorithm = result.algo;
  if (preference != nullptr) lt.preference_destroy(preference);
  return plan;
}

Plan PlanFor(const HalfGemm& gemm) {
  using Key = std::tuple<int, bool, int, int, int>;
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> handles;
  static std::map<Key, Plan> plans;
  int device = 0;
  cudaGetDevice(&device);
  const Key key{device, gemm.bfloat, gemm.rows, gemm.tokens, gemm.k};
  const std::lock_guard<std::mutex> lock(mutex);
  cublasLtHandle_t& handle = handles[device];
  if (handle == nullptr && Library().create(&handle) != CUBLAS_STATUS_SUCCESS)
    handle = nullptr;  // the plan's first step will say so
  const auto known = plans.find(key);
  if (known != plans.end()) return known->second;
  const Plan plan = MakePlan(gemm, handle);
  // What failed once, for want of memory perhaps, is tried again.
  if (plan.status == CUBLAS_STATUS_SUCCESS) plans.emplace(key, plan);
  return plan;
}

}  // namespace

int MultiplyHalf(const HalfGemm& gemm, QuatrainStream stream) {
  const CublasLt& lt = Library();
  if (!lt.failure.empty()) return Fail(kQuatrainNotSupported, lt.failure);
  const Plan plan = PlanFor(gemm);
  cublasStatus_t status = plan.status;
  const float one = 1.0f, zero = 0.0f;
  if (status == CUBLAS_STATUS_SUCCESS)
    status =
        lt.matmul(plan.handle, plan.desc, &one, gemm.w, plan.w, gemm.x, plan.x,
                  &zero, gemm.y, plan.y, gemm.y, plan.y, &plan.algorithm,
                  gemm.workspace, gemm.workspace_bytes, ToStream(stream));
  if (status == CUBLAS_STATUS_SUCCESS) return kQuatrainOk;
  return Fail(kQuatrainFault,
              "cublasLtMatmul: status " + std::to_string(status));
}

}  // namespace quatrain::cuda::runtime

#else

namespace quatrain::cuda::runtime {

int MultiplyHalf(const HalfGemm&, QuatrainStream) {
  return Fail(kQuatrainNotSupported, "built without cublasLt.h");
}

}  // namespace quatrain::cuda::runtime

#endif
