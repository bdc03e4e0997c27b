// The table of the kernels for GPUs: null where an operation has no cuda.cu.
#include "cuda/runtime.h"
#include "isa/kernels.h"

namespace fnn::cuda {

#define FNN_KERNEL(name, Args, ...) \
  template <class T>                \
  void name(Stream&, const Args<T>&);
#include "fnn_cuda_kernels.inc"  // generated: includes kernels.inc beside every cuda.cu
#undef FNN_KERNEL

const KernelTable& kernel_table() {
  static const KernelTable table = [] {
    KernelTable t{};
#define FNN_ENTRY(name, Args, T) t.name##_##T = &name<T>;
#define FNN_KERNEL(name, Args, ...) FNN_FOR_EACH(FNN_ENTRY, name, Args, __VA_ARGS__)
#include "fnn_cuda_kernels.inc"
    return t;
  }();
  return table;
}

}  // namespace fnn::cuda
