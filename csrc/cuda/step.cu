#include "cuda/step.h"

#include "cuda/kernel.cuh"
#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

// y[r] = x[order[r]] for rows of so many pieces, by all threads of the grid.
template <class Piece>
__device__ void copy_pieces(const char* x, const int64_t* order, char* y, int64_t rows, int64_t row_bytes) {
  const int64_t width = row_bytes / static_cast<int64_t>(sizeof(Piece)), n = rows * width;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    const int64_t row = order ? i / width : 0, from = order ? order[row] * width + i - row * width : i;
    reinterpret_cast<Piece*>(y)[i] = reinterpret_cast<const Piece*>(x)[from];
  }
}

__device__ void copy_rows(const char* x, const int64_t* order, char* y, int64_t rows, int64_t row_bytes) {
  const auto at = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y) | static_cast<uintptr_t>(row_bytes);
  if (at % 16 == 0) return copy_pieces<Pack<uint32_t, 4>>(x, order, y, rows, row_bytes);
  if (at % 4 == 0) return copy_pieces<uint32_t>(x, order, y, rows, row_bytes);
  copy_pieces<char>(x, order, y, rows, row_bytes);
}

// By one thread.
__device__ void keep(const StepState& state, int64_t step, const StepOutcome& of) {
  if (state.losses && of.loss)
    for (int i = 0; i < of.loss_bytes; i += 4)
      *reinterpret_cast<uint32_t*>(state.losses + step * of.loss_bytes + i) =
          *reinterpret_cast<const uint32_t*>(of.loss + i);
  if (state.correct && of.correct) state.correct[step] = *of.correct;
}

__global__ void __launch_bounds__(kThreads) begin_step_kernel(StepBegin b) {
  const StepState& state = *b.state;
  const int64_t step = state.step + b.number;
  if (blockIdx.x == 0) {
    const auto* values = reinterpret_cast<const uint32_t*>(state.values + step * b.value_bytes);
    for (int i = threadIdx.x; i < b.value_bytes / 4; i += kThreads)
      reinterpret_cast<uint32_t*>(b.values)[i] = values[i];
    if (threadIdx.x == 0 && b.number > 0) keep(state, step - 1, b.before);
  }
  for (int i = 0; i < b.arrays; ++i) {
    const int64_t first = step * b.rows[i];
    const bool ordered = state.order != nullptr;
    copy_rows(state.data[i] + (ordered ? 0 : first * b.row_bytes[i]), ordered ? state.order + first : nullptr, b.to[i],
              b.rows[i], b.row_bytes[i]);
  }
}

__global__ void __launch_bounds__(kThreads) end_step_kernel(StepEnd e) {
  StepState& state = *e.state;
  for (int i = 0; i < e.arrays; ++i)
    if (state.results[i]) copy_rows(e.from[i], nullptr, state.results[i], 1, e.bytes[i]);
  if (blockIdx.x > 0 || threadIdx.x > 0) return;
  keep(state, state.step + e.steps - 1, e.last);
  state.step += e.steps;  // which the other threads do not read
}

unsigned blocks_to_copy(int64_t bytes) { return bytes > 0 ? blocks_for(div_up(bytes, 16), kThreads) : 1; }

}  // namespace

// CUDA loads kernels when they are first used, and would rather not while a graph is recorded.
void load_step_kernels() {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&begin_step_kernel)), "loading kernels");
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&end_step_kernel)), "loading kernels");
}

void begin_step(Stream& s, const StepBegin& b) {
  int64_t bytes = 0;
  for (int i = 0; i < b.arrays; ++i) bytes += b.rows[i] * b.row_bytes[i];
  start(s, &begin_step_kernel, blocks_to_copy(bytes), kThreads, 0, b);
}

void end_step(Stream& s, const StepEnd& e) {
  int64_t bytes = 0;
  for (int i = 0; i < e.arrays; ++i) bytes += e.bytes[i];
  start(s, &end_step_kernel, blocks_to_copy(bytes), kThreads, 0, e);
}

}  // namespace fnn::cuda
