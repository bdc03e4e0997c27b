// The kernel table, made of the rows of every ops/*/kernels.inc:
//   FNN_KERNEL(relu_fwd, ReluFwdArgs, f32, f64)
// is a pointer a type in KernelTable, a tag kernel::relu_fwd to launch it by, and a
// declaration in the namespace of each instruction set.
#pragma once

#include "core/dtype.h"
#include "core/stream.h"
#include "fnn_args.h"  // generated: includes every ops/*/args.h
#include "isa/foreach.h"

namespace fnn {

template <class Args>
using Kernel = void (*)(Stream&, const Args&);

struct KernelTable {
#define FNN_SLOT(name, Args, T) Kernel<Args<T>> name##_##T;
#define FNN_KERNEL(name, Args, ...) FNN_FOR_EACH(FNN_SLOT, name, Args, __VA_ARGS__)
#include "fnn_kernels.inc"  // generated: includes every ops/*/kernels.inc
#undef FNN_KERNEL
#undef FNN_SLOT
};

// The table of the chosen instruction set.
const KernelTable& kernels();

}  // namespace fnn
