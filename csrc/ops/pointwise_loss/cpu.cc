#include "core/stream.h"
#include "ops/pointwise_loss/tile.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

constexpr int64_t kChunk = 4096;

template <class T, class At>
FNN_INLINE Vec<T> load_or_one(At at, const T* p) {
  return p ? at.load(p) : Vec<T>(1);
}

template <class T>
void pointwise_loss_fwd(Stream& s, const PointwiseLossFwdArgs<T>& a) {
  const int64_t chunks = (a.n + kChunk - 1) / kChunk;
  T* partial = a.reduce ? static_cast<T*>(s.workspace((chunks + 1) * sizeof(T))) : nullptr;
  const Vec<T> alpha(a.alpha);
  with_loss(a.kind, [&](auto loss) {
    parallel_for(s, a.n, kChunk, [&](int64_t begin, int64_t end) {
      T values[kChunk];
      T* y = a.reduce ? values - begin : a.y;
      for_vec<T>(begin, end, [&](auto at) {
        at.store(y, loss.value(at.load(a.x), at.load(a.t), load_or_one<T>(at, a.u), load_or_one<T>(at, a.v), alpha));
      });
      if (a.reduce) partial[begin / kChunk] = row_sum(values, end - begin);
    });
  });
  if (a.reduce) *a.y = a.scale * row_sum(partial, chunks);
}

template <class T>
void pointwise_loss_bwd(Stream& s, const PointwiseLossBwdArgs<T>& a) {
  const Vec<T> alpha(a.alpha);
  with_loss(a.kind, [&](auto loss) {
    parallel_for(s, a.n, kChunk, [&](int64_t begin, int64_t end) {
      const Vec<T> all(a.reduce ? *a.dy * a.scale : T(0));
      for_vec<T>(begin, end, [&](auto at) {
        const auto p =
            loss.partials(at.load(a.x), at.load(a.t), load_or_one<T>(at, a.u), load_or_one<T>(at, a.v), alpha);
        const Vec<T> dy = a.reduce ? all : at.load(a.dy);
        if (a.dx) at.store(a.dx, dy * p.dx);
        if (a.dt) at.store(a.dt, dy * p.dt);
        if (a.du) at.store(a.du, dy * p.du);
      });
    });
  });
}

#include "isa/instantiate.h"
#include "ops/pointwise_loss/kernels.inc"

}  // namespace fnn::FNN_ISA
