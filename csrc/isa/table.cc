// Compiled once per instruction set, and by cuda/table.cu: the table of its kernels.
#include "isa/kernels.h"

namespace fnn::FNN_ISA {

#define FNN_KERNEL(name, Args, ...) \
  template <class T>                \
  void name(Stream&, const Args<T>&);
#include "fnn_kernels.inc"
#undef FNN_KERNEL

extern const KernelTable table;
#define FNN_ENTRY(name, Args, T) &name<T>,
#define FNN_KERNEL(name, Args, ...) FNN_FOR_EACH(FNN_ENTRY, name, Args, __VA_ARGS__)
const KernelTable table = {
#include "fnn_kernels.inc"
};

}  // namespace fnn::FNN_ISA
