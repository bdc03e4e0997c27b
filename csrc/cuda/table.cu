// The table of the kernels for GPUs is made as every instruction set's is.
#include "isa/table.cc"
