// What the parts of the emulated runtime share.
#pragma once

#include <functional>
#include <vector>

#include "cuda_runtime.h"

struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  CUgraph_st graph;
};
struct CUstream_st {
  CUgraph_st* capture = nullptr;  // what it records into, if it does
  bool forbids = false;           // calls that wait, while it records
};

namespace emulation {

size_t number(const char* variable, size_t otherwise);  // from the environment
size_t total_memory();                                  // of each device
int current_device();

// Keeps the code as the thread's last error, and returns it.
cudaError_t failed(cudaError_t code);
// Whether there is a device, not lost.
cudaError_t state();
// The same, for calls that wait: none may while a stream records.
cudaError_t may_wait();
cudaError_t queue(cudaStream_t stream, std::function<void()> work);

}  // namespace emulation
