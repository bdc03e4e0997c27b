// Where a matrix lies, as the tensor memory accelerator (hopper.cuh) wants to be told.
#pragma once

#include <cuda.h>  // types alone: nothing of the driver is linked

#include <cstdint>

#include "core/precision.h"

namespace fnn::cuda {

constexpr int kSwizzledRow = 128;  // bytes of a row of a box

// Rows of k numbers, TF32 in 4 bytes or bfloat16, that begin `ld` apart (multiples of 16 bytes), in
// boxes of box_rows (at most 256) times 128 bytes.
CUtensorMap tensor_map(Precision rounding, const void* x, int64_t rows, int64_t k, int64_t ld, int box_rows);

}  // namespace fnn::cuda
