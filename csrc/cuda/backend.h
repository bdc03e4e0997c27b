// What libfastnn_cuda.so is to the extension: its kernels, and the runtime around them. The
// extension loads it when a GPU is first asked for and calls nothing else in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "core/stream.h"

namespace fnn {

struct DenseEpochArgs;
struct KernelTable;
struct StepBegin;
struct StepEnd;

// What kernels and the functions below throw: the only exception that leaves the library.
struct [[gnu::visibility("default")]] CudaFailure {
  std::string what;
  bool out_of_memory = false;
};

class CudaBackend {
 public:
  virtual const KernelTable& kernels() const = 0;

  // Throws what keeps all of them from being used: no driver, too old a driver.
  virtual int device_count() const = 0;
  virtual std::string device_name(int gpu) const = 0;
  virtual int capability(int gpu) const = 0;  // 90 for compute capability 9.0

  // CUDA's default stream. Throws what keeps this GPU from being used.
  virtual Stream& default_stream(int gpu) const = 0;
  // Streams live for ever; one that is given back comes again.
  virtual Stream& take_stream(int gpu) const = 0;
  virtual void give_stream(Stream&) const = 0;
  // Makes the stream's GPU the one that CUDA calls of this thread are for.
  virtual void select(const Stream&) const = 0;
  virtual bool finished(const Stream&) const = 0;
  virtual void synchronize(const Stream&) const = 0;
  virtual void synchronize_gpu(int gpu) const = 0;
  // What `waiter` is given from now on waits for what is in `stream` already.
  virtual void wait(const Stream& waiter, const Stream& stream) const = 0;

  virtual void* make_event(int gpu, bool timing) const = 0;
  virtual void drop_event(void* event) const = 0;
  virtual void record(void* event, const Stream&) const = 0;
  virtual void wait_event(const Stream&, void* event) const = 0;
  virtual bool event_happened(void* event) const = 0;
  virtual void synchronize_event(void* event) const = 0;
  virtual float milliseconds(void* from, void* to) const = 0;

  // Memory for work on this stream; released, it serves later work on it, at once.
  virtual void* allocate(Stream&, size_t bytes) const = 0;
  virtual void release(void*) const noexcept = 0;
  // Work on this stream, not its own, uses the block too: it is not released before that is done.
  virtual void used(void*, const Stream&) const = 0;
  virtual size_t allocated(int gpu) const = 0;  // bytes of blocks in use
  virtual size_t reserved(int gpu) const = 0;   // bytes taken from CUDA
  virtual void empty_cache() const = 0;
  virtual int gpu_of(const void*) const = 0;  // below 0 when it is no memory of a GPU

  virtual void upload(const Stream&, void* to, const void* from, size_t bytes) const = 0;    // reads `from` at once
  virtual void download(const Stream&, void* to, const void* from, size_t bytes) const = 0;  // waits
  virtual void copy(const Stream&, void* to, const void* from, size_t bytes) const = 0;      // between GPUs, or on one

  // One kernel that trains a small network for many steps (dense_epoch.h), and why it cannot be used
  // on this GPU; null where it can. Its data, order and rules are not looked at.
  virtual const char* why_not_dense_epoch(const DenseEpochArgs&, int gpu) const = 0;
  virtual void dense_epoch(Stream&, const DenseEpochArgs&) const = 0;

  // After every launch: with FASTNN_CUDA_BLOCKING=1 waits, and throws what went wrong.
  virtual void launched(const Stream&) const = 0;
  virtual bool blocking() const = 0;

  // What `queue` starts on the stream that it is given, to be launched as often as is wanted on
  // streams of that GPU. It must have run before, and is dropped when it does not run.
  virtual void* make_graph(int gpu, const std::function<void(Stream&)>& queue) const = 0;
  virtual void launch_graph(void* graph, const Stream&) const = 0;
  virtual void drop_graph(void* graph) const noexcept = 0;
  // The kernels around those of a step in a graph.
  virtual void begin_step(Stream&, const StepBegin&) const = 0;
  virtual void end_step(Stream&, const StepEnd&) const = 0;

 protected:
  ~CudaBackend() = default;
};

// Of the sizes that both sides must agree on: a library of another build is refused.
struct CudaLibrary {
  size_t kernels, stream;  // sizeof KernelTable, Stream
  const CudaBackend* backend;
};

}  // namespace fnn

extern "C" fnn::CudaLibrary fnn_cuda_backend();
