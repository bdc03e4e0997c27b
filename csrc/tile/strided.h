// Walks several arrays of one shape, each with strides of its own. The boundary has
// merged what can be merged (core/iterate.h), so the last dimension is as long as it gets.
#pragma once

#include <cstdint>

#include "core/strided_shape.h"
#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

// f(offset of each array, length) for every row along the last dimension; long rows
// are cut, so that a flat array is spread over the threads as well.
template <int Arrays, class F>
void for_each_row(Stream& s, const StridedShape<Arrays>& shape, const F& f) {
  constexpr int64_t kGrain = 16384;  // elements
  const int last = shape.ndim - 1;
  const int64_t length = shape.size[last], rows = shape.rows();
  const int64_t cuts = (length + kGrain - 1) / kGrain;
  const int64_t per_task = length < kGrain ? kGrain / (length > 0 ? length : 1) : 1;
  parallel_for(s, rows * cuts, per_task, [&](int64_t begin, int64_t end) {
    int64_t at[8], offset[Arrays] = {}, cut = begin % cuts;
    for (int64_t d = last - 1, r = begin / cuts; d >= 0; --d) {
      at[d] = r % shape.size[d];
      r /= shape.size[d];
      for (int a = 0; a < Arrays; ++a) offset[a] += at[d] * shape.stride[a][d];
    }
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = cut * kGrain;
      int64_t here[Arrays];
      for (int a = 0; a < Arrays; ++a) here[a] = offset[a] + start * shape.stride[a][last];
      f(here, length - start < kGrain ? length - start : kGrain);
      if (++cut < cuts) continue;
      cut = 0;
      for (int d = last - 1; d >= 0; --d) {  // the next row, without a division
        for (int a = 0; a < Arrays; ++a) offset[a] += shape.stride[a][d];
        if (++at[d] < shape.size[d]) break;
        for (int a = 0; a < Arrays; ++a) offset[a] -= shape.size[d] * shape.stride[a][d];
        at[d] = 0;
      }
    }
  });
}

}  // namespace fnn::FNN_ISA
