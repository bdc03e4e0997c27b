#include "ops/linear/args.h"

#include "ops/unary/tile.h"
#include "tile/gemm.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

// f(Unary<op>{}) for the activations that can be fused, all with a slope in terms of y.
template <class F>
FNN_INLINE void with_activation(UnaryOp op, const F& f) {
  switch (op) {
    case UnaryOp::relu: return f(Unary<UnaryOp::relu>{});
    case UnaryOp::sigmoid: return f(Unary<UnaryOp::sigmoid>{});
    case UnaryOp::tanh: return f(Unary<UnaryOp::tanh>{});
    default: return;
  }
}

template <class T>
void linear_fwd(Stream& s, const LinearFwdArgs<T>& a) {
  const Gemm<T> g{a.n, a.out, a.in, a.x,  a.in, ALayout::rows, a.w, a.w_transposed ? a.out : a.in, !a.w_transposed,
                  a.y, a.out, a.b,  false};
  if (!a.has_activation) return gemm(s, g, [](T*, int, int) {});
  with_activation(a.activation, [&](auto f) {
    gemm(s, g, [&](T* y, int rows, int cols) {
      const Vec<T> none(0);
      for (int i = 0; i < rows; ++i)
        for_vec<T>(0, cols, [&](auto at) { at.store(y + i * a.out, f.value(at.load(y + i * a.out), none, none)); });
    });
  });
}

template <class T>
void linear_bwd(Stream& s, const LinearBwdArgs<T>& a) {
  const auto ignore = [](T*, int, int) {};
  const T* g = a.dy;
  if (a.has_activation) {
    with_activation(a.activation, [&](auto f) {
      parallel_for(s, a.n * a.out, 16384, [&](int64_t begin, int64_t end) {
        const Vec<T> none(0);
        for_vec<T>(begin, end, [&](auto at) { at.store(a.g, at.load(a.dy) * f.slope(at.load(a.y), none, none)); });
      });
    });
    g = a.g;
  }
  if (a.db) column_sums(g, a.n, a.out, a.db, a.out);
  if (a.dw && a.w_transposed)  // dw (in, out) = x^T g
    gemm(s, Gemm<T>{a.in, a.out, a.n, a.x, a.in, ALayout::columns, g, a.out, false, a.dw, a.out, nullptr, false},
         ignore);
  else if (a.dw)  // dw (out, in) = g^T x
    gemm(s, Gemm<T>{a.out, a.in, a.n, g, a.out, ALayout::columns, a.x, a.in, false, a.dw, a.in, nullptr, false},
         ignore);
  if (a.dx)  // dx = g w
    gemm(s,
         Gemm<T>{a.n, a.in, a.out, g, a.out, ALayout::rows, a.w, a.w_transposed ? a.out : a.in, a.w_transposed, a.dx,
                 a.in, nullptr, false},
         ignore);
}

#include "isa/instantiate.h"
#include "ops/linear/kernels.inc"

}  // namespace fnn::FNN_ISA
