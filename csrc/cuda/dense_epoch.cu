// Starts the kernel of dense_epoch.cuh, laid out for the network and the GPU at hand.
#include "cuda/dense_epoch.cuh"

#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

constexpr int kFewestWarps = 8;

// Returns false where a block's shared memory or threads are too few.
bool lay_out(const DenseEpochArgs& a, int blocks, int64_t bytes, DenseLayout& l) {
  l = {};
  if (a.in > bytes || a.hidden > bytes || a.batch > kMostWarps * kMostTileRows) return false;  // and no int overflows
  const int batch = static_cast<int>(a.batch), classes = static_cast<int>(a.classes);
  l.blocks = blocks;
  while (l.states < 3 && a.w1.state[l.states]) ++l.states;
  const int quads = static_cast<int>(div_up(div_up(a.hidden, 4), blocks));
  l.units = 4 * quads;
  l.groups = static_cast<int>(div_up(batch, kMostTileRows));
  if (l.groups * quads < kFewestWarps) l.groups = static_cast<int>(div_up(kFewestWarps, quads));
  if (l.warps() > kMostWarps) return false;
  for (const int rows : kTileRows)
    if (l.groups * rows >= batch && l.rows == 0) l.rows = rows;
  l.row = up_to(static_cast<int>(a.in), 4);
  l.wide = a.in % 4 == 0 && reinterpret_cast<uintptr_t>(a.x) % 16 == 0;

  const auto take = [&](int numbers) {
    const int at = l.total;
    l.total += up_to(numbers, 4);
    return at;
  };
  const int copies = 1 + l.states;
  l.w1 = take(copies * l.units * l.row);
  l.b1 = take(copies * l.units);
  l.w2 = take(copies * classes * l.units);
  l.b2 = take(copies * up_to(classes, 4));
  l.rule = take(2 * kRuleWords);
  l.index = take(3 * batch * 2);
  l.target = take(2 * batch * 2);
  l.h = take(batch * l.units);
  l.g = take(batch * l.units);
  l.partial = take(2 * batch * classes);
  l.logits = take(batch * classes);
  l.dlogits = take(batch * classes);
  l.row_loss = take(batch);
  const int64_t left = bytes / 4 - l.total, rows = l.groups * l.rows;
  const auto most = static_cast<int>(left / (2 * rows) / 4 * 4);
  if (left < 0 || most < 4) return false;
  l.chunks = static_cast<int>(div_up(l.row, most));
  l.chunk = up_to(static_cast<int>(div_up(l.row, l.chunks)), 4);
  l.chunks = static_cast<int>(div_up(l.row, l.chunk));
  l.x = take(static_cast<int>(2 * rows * l.chunk));
  return true;
}

template <class Rule, int States>
__global__ void __launch_bounds__(kMostWarps* kWarp) dense_epoch_kernel(DenseEpochArgs a, DenseLayout l) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  DenseTrainer<Rule, States>(a, l).train();
#endif
}

using EpochKernel = void (*)(DenseEpochArgs, DenseLayout);

EpochKernel kernel_for(FusedRule kind, int states) {
  if (kind == FusedRule::sgd)
    return states ? &dense_epoch_kernel<SgdRule<float>, 1> : &dense_epoch_kernel<SgdRule<float>, 0>;
  return states == 3 ? &dense_epoch_kernel<AdamRule<float>, 3> : &dense_epoch_kernel<AdamRule<float>, 2>;
}

constexpr int kPortable = 8;  // blocks that every GPU with clusters runs together

struct Launch {
  EpochKernel kernel;
  cudaLaunchAttribute cluster = {};
  cudaLaunchConfig_t config = {};

  Launch(const DenseEpochArgs& a, const DenseLayout& l) : kernel(kernel_for(a.kind, l.states)) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {static_cast<unsigned>(l.blocks), 1, 1};
    config.gridDim = static_cast<unsigned>(l.blocks);
    config.blockDim = static_cast<unsigned>(l.warps() * kWarp);
    config.dynamicSmemBytes = static_cast<size_t>(l.total) * sizeof(float);
    config.attrs = &cluster;
    config.numAttrs = 1;
    const auto* function = reinterpret_cast<const void*>(kernel);
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(config.dynamicSmemBytes)),
          "asking for shared memory");
    if (l.blocks > kPortable)
      check(cudaFuncSetAttribute(function, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            "asking for a large cluster");
  }
  Launch(const Launch&) = delete;
};

// A cluster of 8 blocks, or where the network is too large for it of 16, if the GPU can have that.
bool find_layout(const DenseEpochArgs& a, int gpu, DenseLayout& l) {
  int bytes = 0;
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, gpu), "asking what a GPU is");
  if (lay_out(a, kPortable, bytes, l)) return true;
  if (!lay_out(a, 2 * kPortable, bytes, l)) return false;
  Launch launch(a, l);
  int clusters = 0;
  if (cudaOccupancyMaxActiveClusters(&clusters, launch.kernel, &launch.config) != cudaSuccess) cudaGetLastError();
  return clusters > 0;
}

}  // namespace

const char* why_not_dense_epoch(const DenseEpochArgs& a, int gpu) {
  if (capability().gpu < 90) return "the GPU has no clusters of blocks";
  if (capability().code < 90) return "the library was built without code for clusters of blocks";
  if (a.classes > kMostClasses) return "more than 32 classes";
  DenseLayout l;
  return find_layout(a, gpu, l) ? nullptr : "network and batch are too large for the shared memory of a cluster";
}

void dense_epoch(Stream& s, const DenseEpochArgs& a) {
  DenseLayout l;
  if (!find_layout(a, s.device.gpu, l)) throw CudaFailure{"a network too large for one kernel"};
  Launch launch(a, l);
  launch.config.stream = handle(s);
  check(cudaLaunchKernelEx(&launch.config, launch.kernel, DenseEpochArgs(a), DenseLayout(l)), "starting a kernel");
}

}  // namespace fnn::cuda
