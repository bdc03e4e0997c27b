#include "ops/index/args.h"

#include "core/dtype.h"
#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class T>
void gather_rows(Stream& s, const GatherRowsArgs<T>& a) {
  parallel_for(s, a.count, 131072 / (a.width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j)
      __builtin_memcpy(a.y + j * a.width, a.x + from_start(a.index[j], a.rows) * a.width, a.width);
  });
}

template <class T>
void scatter_rows(Stream& s, const ScatterRowsArgs<T>& a) {
  // Threads take columns: every element is summed by one of them, in order.
  parallel_for(s, a.width, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < a.rows; ++r)
      for (int64_t i = begin; i < end; ++i) a.dx[r * a.width + i] = T(0);
    for (int64_t j = 0; j < a.count; ++j) {
      T* dx = a.dx + from_start(a.index[j], a.rows) * a.width;
      const T* dy = a.dy + j * a.width;
      for (int64_t i = begin; i < end; ++i) dx[i] += dy[i];
    }
  });
}

#include "isa/instantiate.h"
#include "ops/index/kernels.inc"

}  // namespace fnn::FNN_ISA
