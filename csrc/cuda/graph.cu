// Kernels recorded once, which the GPU then starts by itself, one behind the other.
#include <memory>

#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

struct Graph {
  cudaGraphExec_t exec = nullptr;
  GraphWorkspace* workspace = nullptr;
};

// Ends the recording, whatever has become of it.
cudaError_t end(const Stream& s, cudaGraph_t* recorded) {
  *recorded = nullptr;
  return cudaStreamEndCapture(handle(s), recorded);
}

}  // namespace

void* make_graph(Stream& s, const std::function<void(Stream&)>& queue) {
  auto graph = std::make_unique<Graph>();
  cudaGraph_t recorded;
  select(s.device.gpu);
  // Relaxed: memory may be taken from CUDA meanwhile, by this thread and others.
  check(cudaStreamBeginCapture(handle(s), cudaStreamCaptureModeRelaxed), "beginning a graph");
  graph->workspace = begin_graph_workspace();
  try {
    queue(s);
  } catch (...) {
    end_graph_workspace();
    if (end(s, &recorded) == cudaSuccess && recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();
    drop_graph(graph.release());
    throw;
  }
  end_graph_workspace();
  const cudaError_t code = end(s, &recorded);
  const cudaError_t made = code == cudaSuccess ? cudaGraphInstantiate(&graph->exec, recorded, 0) : code;
  if (recorded) cudaGraphDestroy(recorded);
  if (made != cudaSuccess) {
    drop_graph(graph.release());
    check(made, "making a graph");
  }
  return graph.release();
}

void launch_graph(void* graph, const Stream& s) {
  check_alive();
  select(s.device.gpu);
  check(cudaGraphLaunch(static_cast<Graph*>(graph)->exec, handle(s)), "starting a graph");
}

void drop_graph(void* p) noexcept {
  auto* graph = static_cast<Graph*>(p);
  if (graph->exec) cudaGraphExecDestroy(graph->exec);
  drop_graph_workspace(graph->workspace);
  delete graph;
}

}  // namespace fnn::cuda
