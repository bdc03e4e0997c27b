// Errors of CUDA calls.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

std::atomic<const std::string*> lost{nullptr};  // what cost the process its context

std::string describe(cudaError_t code, const char* doing) {
  return std::string("CUDA failed while ") + doing + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) +
         ")";
}

}  // namespace

void check_alive() {
  if (const std::string* why = lost)
    throw CudaFailure{
        "the CUDA context of this process is lost, and with it all tensors on GPUs: a new process is "
        "needed. It began with: " +
        *why};
}

void check(cudaError_t code, const char* doing) {
  if (code == cudaSuccess) return;
  check_alive();
  cudaGetLastError();  // not to be met again by the next call
  const std::string what = describe(code, doing);
  // What kills a context is the answer to every later call, this one included, which does nothing.
  if (code != cudaErrorMemoryAllocation && cudaFree(nullptr) != cudaSuccess) {
    const std::string* none = nullptr;
    lost.compare_exchange_strong(none, new std::string(what));
  }
  throw CudaFailure{what};
}

bool setting(const char* name, const char* value) {
  const char* given = std::getenv(name);
  return given && std::strcmp(given, value) == 0;
}

}  // namespace fnn::cuda
