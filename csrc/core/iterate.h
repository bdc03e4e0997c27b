// Prepares a StridedShape: broadcasts, orders dimensions by the first array's strides
// (the one that is written), and merges neighbours that are contiguous in all.
#pragma once

#include "core/strided_shape.h"
#include "core/tensor.h"

namespace fnn {

// x's strides as seen from a broadcast shape: 0 where x is repeated.
inline Dims broadcast_strides(const TensorImpl& x, const Dims& shape) {
  Dims strides = Dims::filled(shape.size(), 0);
  const int lead = shape.size() - x.ndim();
  for (int i = 0; i < x.ndim(); ++i) strides[lead + i] = x.shape[i] == 1 ? 0 : x.strides[i];
  return strides;
}

template <int Arrays>
StridedShape<Arrays> merge_dims(const Dims& shape, const Dims (&strides)[Arrays]) {
  int order[kMaxDims];
  int n = 0;
  for (int i = 0; i < shape.size(); ++i) {  // by decreasing stride; std::stable_sort would ask for memory
    if (shape[i] == 1) continue;
    int at = n++;
    for (; at > 0 && strides[0][order[at - 1]] < strides[0][i]; --at) order[at] = order[at - 1];
    order[at] = i;
  }

  StridedShape<Arrays> out{};
  for (int k = 0; k < n; ++k) {
    const int i = order[k], last = out.ndim - 1;
    bool mergeable = last >= 0;
    for (int a = 0; a < Arrays && mergeable; ++a) mergeable = out.stride[a][last] == strides[a][i] * shape[i];
    const int at = mergeable ? last : out.ndim++;
    out.size[at] = mergeable ? out.size[at] * shape[i] : shape[i];
    for (int a = 0; a < Arrays; ++a) out.stride[a][at] = strides[a][i];
  }
  if (out.ndim == 0) out.size[out.ndim++] = 1;
  return out;
}

}  // namespace fnn
