// Where the window of an output lies along one axis.
#pragma once

#include "ops/pool/args.h"
#include "simd/math.h"

namespace fnn::FNN_ISA {

struct Window {
  int64_t begin, end, step;  // cells inside the input
  int64_t padded;            // cells counting the padding on both sides
};

FNN_INLINE Window window(int64_t i, int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                         int64_t dilation, bool adaptive) {
  if (adaptive) {
    const int64_t begin = i * size / out, end = ((i + 1) * size + out - 1) / out;
    return {begin, end, 1, end - begin};
  }
  const int64_t first = i * stride - pad, span = dilation * (kernel - 1) + 1, beyond = first + span;
  const int64_t limit = size + pad, last = beyond < limit ? beyond : limit;
  const int64_t skipped = first < 0 ? (-first + dilation - 1) / dilation : 0;
  return {first + skipped * dilation, beyond < size ? beyond : size, dilation, last - first};
}

FNN_INLINE Window window_y(const PoolShape& s, int64_t oy) {
  return window(oy, s.h, s.oh, s.kh, s.stride_h, s.pad_h, s.dilation_h, s.adaptive);
}
FNN_INLINE Window window_x(const PoolShape& s, int64_t ox) {
  return window(ox, s.w, s.ow, s.kw, s.stride_w, s.pad_w, s.dilation_w, s.adaptive);
}

}  // namespace fnn::FNN_ISA
