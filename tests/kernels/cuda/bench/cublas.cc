#include "tests/kernels/cuda/bench/cublas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace quatrain::bench {
namespace {

// Of cublas_api.h and library_types.h, the same since CUDA 11.
constexpr int kNoTranspose = 0, kTranspose = 1;
constexpr int kTypeF16 = 2;
constexpr int kComputeF32 = 68;
constexpr int kDefaultAlgorithm = -1;
constexpr size_t kWorkspaceBytes = size_t{64} << 20;

void Check(int status, const char* call) {
  if (status == 0) return;
  std::fprintf(stderr, "%s failed: status %d\n", call, status);
  std::fflush(stdout);
  std::_Exit(1);
}

void* OpenLibrary(std::string& tried) {
  std::vector<std::string> names = {"libcublas.so.13", "libcublas.so.12",
                                    "libcublas.so"};
  for (const char* folder :
       {"/usr/local/cuda/lib64/", "/usr/local/cuda/targets/x86_64-linux/lib/"})
    for (const char* name : {"libcublas.so.13", "libcublas.so.12"})
      names.push_back(std::string(folder) + name);
  if (const char* path = std::getenv("QUATRAIN_CUBLAS");
      path != nullptr && *path != '\0')
    names.insert(names.begin(), path);
  for (const std::string& name : names) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL))
      return library;
    if (tried.empty()) tried = dlerror();
  }
  return nullptr;
}

template <typename F>
bool Find(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

struct Cublas::Functions {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*set_stream)(void*, void*);
  int (*set_workspace)(void*, void*, size_t);
  int (*get_version)(void*, int*);
  int (*gemm)(void*, int, int, int, int, int, const void*, const void*, int,
              int, const void*, int, int, const void*, void*, int, int, int,
              int);

  bool FindAll(void* library) {
    return Find(library, "cublasCreate_v2", create) &&
           Find(library, "cublasDestroy_v2", destroy) &&
           Find(library, "cublasSetStream_v2", set_stream) &&
           Find(library, "cublasSetWorkspace_v2", set_workspace) &&
           Find(library, "cublasGetVersion_v2", get_version) &&
           Find(library, "cublasGemmEx", gemm);
  }
};

std::unique_ptr<Cublas> Cublas::Open(QuatrainStream stream) {
  std::string tried;
  void* library = OpenLibrary(tried);
  auto functions = std::make_unique<Functions>();
  if (library == nullptr || !functions->FindAll(library)) {
    std::printf(
        "No cuBLAS to compare with (QUATRAIN_CUBLAS=FILE names one): "
        "%s\n",
        library == nullptr ? tried.c_str() : "a function is missing");
    return nullptr;
  }
  void* handle = nullptr;
  if (const int status = functions->create(&handle); status != 0) {
    std::printf("No cuBLAS to compare with: cublasCreate failed: status %d\n",
                status);
    return nullptr;
  }
  return std::unique_ptr<Cublas>(
      new Cublas(std::move(functions), handle, stream));
}

Cublas::Cublas(std::unique_ptr<Functions> functions, void* handle,
               QuatrainStream stream)
    : functions_(std::move(functions)),
      handle_(handle),
      workspace_(kWorkspaceBytes) {
  Check(functions_->set_stream(handle_, stream), "cublasSetStream");
  Check(
      functions_->set_workspace(handle_, workspace_.data(), workspace_.bytes()),
      "cublasSetWorkspace");
  int version = 0;
  Check(functions_->get_version(handle_, &version), "cublasGetVersion");
  version_ = std::to_string(version / 10000) + "." +
             std::to_string(version / 100 % 100) + "." +
             std::to_string(version % 100);
}

Cublas::~Cublas() { functions_->destroy(handle_); }

void Cublas::Gemm(int m, int n, int k, const void* x, const void* w, void* y) {
  const float one = 1.0f, zero = 0.0f;
  // In its column-major words: y^T [n, m] = (w^T)^T * x^T.
  Check(functions_->gemm(handle_, kTranspose, kNoTranspose, n, m, k, &one, w,
                         kTypeF16, k, x, kTypeF16, k, &zero, y, kTypeF16, n,
                         kComputeF32, kDefaultAlgorithm),
        "cublasGemmEx");
}

}  // namespace quatrain::bench
