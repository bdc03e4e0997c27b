// Ends every cpu.cc: "#include isa/instantiate.h" then "#include kernels.inc" makes the
// rows of that operation real for this instruction set.
#pragma once

#include "isa/foreach.h"

#define FNN_INSTANTIATE(name, Args, T) template void name<T>(Stream&, const Args<T>&);
#define FNN_KERNEL(name, Args, ...) FNN_FOR_EACH(FNN_INSTANTIATE, name, Args, __VA_ARGS__)
