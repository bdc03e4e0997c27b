// What the parts of the runtime share.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "cuda/backend.h"
#include "cuda/step.h"

namespace fnn::cuda {

// Throws what the code means, and what was asked. Once an error has cost the process its CUDA
// context, everything throws that.
void check(cudaError_t code, const char* doing);
// Throws when the context is lost.
void check_alive();
// The GPU that CUDA calls of this thread are for.
void select(int gpu);
// Whether FASTNN_<name> is set to `value`.
bool setting(const char* name, const char* value);

inline cudaStream_t handle(const Stream& s) { return static_cast<cudaStream_t>(s.native); }

extern const KernelTable table;  // table.cu

// Memory of GPUs, kept for reuse: allocator.cu.
void* allocate(Stream& s, size_t bytes);
void release(void* p) noexcept;
void used(void* p, const Stream& s);
size_t allocated(int gpu);
size_t reserved(int gpu);
void empty_cache();
// What kernels asked of workspace() may serve others: their work is queued.
void release_workspace() noexcept;
// From begin to end this thread's kernels take it from what lives until it is dropped.
struct GraphWorkspace;
GraphWorkspace* begin_graph_workspace();
void end_graph_workspace() noexcept;
void drop_graph_workspace(GraphWorkspace*) noexcept;

// Copies to and from memory of the CPU: copy.cu.
void upload(const Stream& s, void* to, const void* from, size_t bytes);
void download(const Stream& s, void* to, const void* from, size_t bytes);

// Graphs, and the kernels around those of a step: graph.cu, step.cu.
void* make_graph(Stream& s, const std::function<void(Stream&)>& queue);
void launch_graph(void* graph, const Stream& s);
void drop_graph(void* graph) noexcept;
void load_step_kernels();
void begin_step(Stream& s, const StepBegin& b);
void end_step(Stream& s, const StepEnd& e);
// Small networks, trained by one kernel: dense_epoch.cu.
const char* why_not_dense_epoch(const DenseEpochArgs& a, int gpu);
void dense_epoch(Stream& s, const DenseEpochArgs& a);

}  // namespace fnn::cuda
