// Memory, asynchronous copies, streams, graphs and errors.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "cuda/async.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;

namespace {

__global__ void write_kernel(float* y, int at) { y[at] = 1; }
__global__ void write_shared_kernel(float* y, int at) {
  shared_memory<float>()[at] = 1;
  y[0] = shared_memory<float>()[0];
}

FNN_TEST(writes_out_of_bounds_are_caught) {
  const Array<float> y(10);
  for (const int at : {-1, 10}) {
    expect_end([&] { start(stream, &write_kernel, 1, 1, 0, y.data(), at); }, "a write beside memory of the device");
    expect_end([&] { start(stream, &write_shared_kernel, 1, 1, 40, y.data(), at); },
               "a write beside the shared memory");
  }
  start(stream, &write_kernel, 1, 1, 0, y.data(), 9);
}

FNN_TEST(the_cpu_may_not_touch_memory_of_a_device) {
#if !defined(__SANITIZE_ADDRESS__)
  const Array<float> y(std::vector<float>(10, 1.f));
  expect_end([&] { std::printf("%g\n", y.data()[3]); }, "");  // by a signal, without words
#endif
}

FNN_TEST(what_was_not_written_is_nan) {
  const Array<float> y(10);
  start(stream, &write_kernel, 1, 1, 0, y.data(), 3);
  const std::vector<float> found = y.read();
  for (size_t i = 0; i < 10; ++i) FNN_EXPECT(i == 3 ? found[i] == 1.f : std::isnan(found[i]));
}

__global__ void stale_kernel(float* y) {  // leaves a number for the next block to find
  float* shared = shared_memory<float>();
  y[blockIdx.x] = *shared;
  *shared = 5;
}
FNN_TEST(shared_memory_is_new_to_each_block) {
  in_every_order([] {
    const Array<float> y(std::vector<float>(4));
    start(stream, &stale_kernel, 4, 1, sizeof(float), y.data());
    for (const float v : y.read()) FNN_EXPECT(std::isnan(v));
  });
}

// Rows of 4 through shared memory, the next one on its way while one is used.
__global__ void pipeline_kernel(const float* x, float* y, int rows, bool waits) {
  float* shared = shared_memory<float>();
  const unsigned i = threadIdx.x;
  const auto ask = [&](int row) {
    if (row < rows) copy_async<16>(shared + 4 * (64 * (row % 2) + i), x + 4 * (64 * row + i), (row + i) % 5 != 0);
    copies_commit();
  };
  ask(0);
  for (int row = 0; row < rows; ++row) {
    ask(row + 1);
    if (waits) copies_wait<1>();
    __syncthreads();
    const unsigned other = 63 - i;
    for (int j = 0; j < 4; ++j) y[4 * (64 * row + i) + j] = shared[4 * (64 * (row % 2) + other) + j];
    __syncthreads();
  }
  copies_wait<0>();
}
FNN_TEST(asynchronous_copies_come_when_waited_for) {
  constexpr int kRows = 5;
  std::vector<float> numbers(4 * 64 * kRows);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = 1 + static_cast<float>(i);
  const Array<float> x(numbers);
  in_every_order([&] {
    const Array<float> y(numbers.size()), early(numbers.size());
    start(stream, &pipeline_kernel, 1, 64, 2 * 64 * 16, x.data(), y.data(), kRows, true);
    start(stream, &pipeline_kernel, 1, 64, 2 * 64 * 16, x.data(), early.data(), kRows, false);
    const std::vector<float> found = y.read(), too_early = early.read();
    for (unsigned i = 0; i < found.size(); ++i) {
      const unsigned row = i / 256, other = 63 - i / 4 % 64;
      FNN_EXPECT(found[i] == ((row + other) % 5 != 0 ? numbers[256 * row + 4 * other + i % 4] : 0.f));
    }
    FNN_EXPECT(std::isnan(too_early[0]));
  });
}

__global__ void unaligned_kernel(const float* x) {
  copy_async<16>(shared_memory<float>(), x + 1);
  copies_wait<0>();
}
__global__ void abandoned_kernel(const float* x) { copy_async<4>(shared_memory<float>(), x); }
FNN_TEST(asynchronous_copies_are_checked) {
  const Array<float> x(std::vector<float>(8));
  expect_end([&] { start(stream, &unaligned_kernel, 1, 1, 16, x.data()); }, "no multiple of its size");
  expect_end([&] { start(stream, &abandoned_kernel, 1, 1, 16, x.data()); }, "copies under way");
}

__global__ void add_kernel(float* y, float x) { y[threadIdx.x] += x; }
FNN_TEST(graphs_are_recorded_and_replayed) {
  const Array<float> y(std::vector<float>(32, 1.f)), z(32);
  fnn::Stream s = stream;
  cudaStream_t native = nullptr;
  FNN_EXPECT(cudaStreamCreateWithFlags(&native, cudaStreamNonBlocking) == cudaSuccess);
  s.native = native;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  FNN_EXPECT(cudaStreamBeginCapture(native, cudaStreamCaptureModeGlobal) == cudaSuccess);
  float x = 2;
  start(s, &add_kernel, 1, 32, 0, y.data(), x);
  x = 100;  // the argument was copied
  FNN_EXPECT(cudaMemcpyAsync(z.data(), y.data(), 128, cudaMemcpyDeviceToDevice, native) == cudaSuccess);
  FNN_EXPECT(cudaMemsetAsync(y.data(), 0, 4, native) == cudaSuccess);
  void* p = nullptr;
  FNN_EXPECT(cudaMalloc(&p, 4) == cudaErrorStreamCaptureUnsupported);
  FNN_EXPECT(cudaStreamSynchronize(native) == cudaErrorStreamCaptureUnsupported);
  FNN_EXPECT(cudaGetLastError() == cudaErrorStreamCaptureUnsupported && cudaGetLastError() == cudaSuccess);
  FNN_EXPECT(cudaStreamEndCapture(native, &graph) == cudaSuccess);
  FNN_EXPECT(y.read()[1] == 1.f);
  FNN_EXPECT(cudaGraphInstantiate(&exec, graph) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  for (int i = 0; i < 3; ++i) FNN_EXPECT(cudaGraphLaunch(exec, native) == cudaSuccess);
  FNN_EXPECT(y.read()[0] == 0.f && y.read()[31] == 7.f && z.read()[0] == 2.f && z.read()[31] == 7.f);
  FNN_EXPECT(cudaGraphExecDestroy(exec) == cudaSuccess && cudaStreamDestroy(native) == cudaSuccess);
}

FNN_TEST(memory_runs_out_and_comes_back) {
  const With with("FASTNN_CUDA_MEMORY", "1000");
  float *a = nullptr, *b = nullptr;
  FNN_EXPECT(cudaMalloc(&a, 600) == cudaSuccess);
  FNN_EXPECT(cudaMalloc(&b, 600) == cudaErrorMemoryAllocation && cudaGetLastError() == cudaErrorMemoryAllocation);
  size_t free = 0, total = 0;
  FNN_EXPECT(cudaMemGetInfo(&free, &total) == cudaSuccess && free == 400 && total == 1000);
  FNN_EXPECT(cudaFree(a) == cudaSuccess && cudaMalloc(&b, 600) == cudaSuccess && cudaFree(b) == cudaSuccess);
  FNN_EXPECT(cudaFree(b) == cudaErrorInvalidValue);
  cudaGetLastError();
}

FNN_TEST(launches_are_checked) {
  const auto launch = [](unsigned blocks_y, unsigned threads, size_t shared) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1, blocks_y);
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    const Array<float> y(std::vector<float>(2048));
    const cudaError_t code = cudaLaunchKernelEx(&config, &add_kernel, y.data(), 1.f);
    cudaGetLastError();
    return code;
  };
  FNN_EXPECT(launch(1, 1024, 48 << 10) == cudaSuccess);
  FNN_EXPECT(launch(1, 1025, 0) == cudaErrorInvalidConfiguration);
  FNN_EXPECT(launch(65536, 1, 0) == cudaErrorInvalidConfiguration);
  FNN_EXPECT(launch(1, 1, (48 << 10) + 1) == cudaErrorInvalidValue);
  const Array<float> y(std::vector<float>(1));
  start(stream, &write_shared_kernel, 1, 1, 100 << 10, y.data(), 0);  // which start() asks for
  FNN_EXPECT(y.read()[0] == 1.f);
}

FNN_TEST(devices_are_as_many_as_wanted) {
  int count = -1;
  cudaDeviceProp p;
  FNN_EXPECT(cudaGetDeviceProperties(&p, 0) == cudaSuccess && std::strstr(p.name, "(emulated)") && p.major == 8);
  {
    const With with("FASTNN_CUDA_DEVICES", "2");
    FNN_EXPECT(cudaGetDeviceCount(&count) == cudaSuccess && count == 2 && cudaSetDevice(1) == cudaSuccess);
    const Array<float> y(4);
    cudaPointerAttributes a;
    float on_host = 0;
    FNN_EXPECT(cudaPointerGetAttributes(&a, y.data() + 3) == cudaSuccess && a.device == 1 &&
               a.type == cudaMemoryTypeDevice);
    FNN_EXPECT(cudaPointerGetAttributes(&a, &on_host) == cudaSuccess && a.type == cudaMemoryTypeUnregistered);
    FNN_EXPECT(cudaSetDevice(2) == cudaErrorInvalidDevice && cudaSetDevice(0) == cudaSuccess);
  }
  {
    const With with("FASTNN_CUDA_DEVICES", "0");
    FNN_EXPECT(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  }
  const With with("FASTNN_CUDA_LOST", "1");
  FNN_EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalAddress && cudaFree(nullptr) == cudaErrorIllegalAddress);
  cudaGetLastError();
}

}  // namespace
