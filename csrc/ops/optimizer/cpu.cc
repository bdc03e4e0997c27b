#include "ops/optimizer/tile.h"

#include "core/stream.h"

namespace fnn::FNN_ISA {

// All parameters in one pass, as if they lay one behind the other.
template <class T, class Args>
void update(Stream& s, const Args& a) {
  const auto rule = a.rule.value;  // a copy stays in registers: no store to a parameter can change it
  int64_t total = 0;
  for (int i = 0; i < a.on.count; ++i) total += a.on.n[i];
  parallel_for(s, total, 16384, [&](int64_t begin, int64_t end) {
    int64_t start = 0;  // of parameter i
    for (int i = 0; i < a.on.count && start < end; start += a.on.n[i++]) {
      T* state[sizeof(a.on.state[0]) / sizeof(T*)];
      for (size_t k = 0; k < sizeof(state) / sizeof(T*); ++k) state[k] = a.on.state[i][k];
      T* p = a.on.p[i];
      const T* grad = a.on.grad[i];
      const int64_t first = begin > start ? begin - start : 0;
      const int64_t last = end - start < a.on.n[i] ? end - start : a.on.n[i];
      for_vec<T>(first, last, [&](auto at) { at.store(p, updated(rule, state, at, at.load(p), at.load(grad))); });
    }
  });
}

template <class T>
void sgd(Stream& s, const SgdArgs<T>& a) {
  update<T>(s, a);
}

template <class T>
void adam(Stream& s, const AdamArgs<T>& a) {
  update<T>(s, a);
}

template <class T>
void rmsprop(Stream& s, const RmspropArgs<T>& a) {
  update<T>(s, a);
}

template <class T>
void adagrad(Stream& s, const AdagradArgs<T>& a) {
  update<T>(s, a);
}

template <class T>
void adadelta(Stream& s, const AdadeltaArgs<T>& a) {
  update<T>(s, a);
}

#include "isa/instantiate.h"
#include "ops/optimizer/kernels.inc"

}  // namespace fnn::FNN_ISA
