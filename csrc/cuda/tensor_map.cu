#include "cuda/tensor_map.h"

#include "cuda/backend.h"
#include "cuda/kernel.cuh"

namespace fnn::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// From the driver that the process has loaded, which the library isn't linked with.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
  const cudaError_t code =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t code = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
  check(code, "asking the driver for its functions");
  if (!found) throw CudaFailure{"the NVIDIA driver has no cuTensorMapEncodeTiled"};
  return reinterpret_cast<Encode>(found);
}

}  // namespace

CUtensorMap tensor_map(Precision rounding, const void* x, int64_t rows, int64_t k, int64_t ld, int box_rows) {
  static const Encode encode = find_encode();
  const bool bf16 = rounding == Precision::bf16;
  const cuuint32_t bytes = bf16 ? 2 : 4;
  const cuuint64_t size[] = {static_cast<cuuint64_t>(k), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(ld) * bytes};
  const cuuint32_t box[] = {kSwizzledRow / bytes, static_cast<cuuint32_t>(box_rows)}, step[] = {1, 1};
  CUtensorMap map;
  const CUresult code =
      encode(&map, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, const_cast<void*>(x),
             size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code != CUDA_SUCCESS) throw CudaFailure{"the driver refuses a tensor map: error " + std::to_string(code)};
  return map;
}

}  // namespace fnn::cuda
