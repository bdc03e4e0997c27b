#include "ops/linear/args.h"

#include "ops/optimizer/tile.h"
#include "ops/unary/tile.h"
#include "tile/gemm.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

template <class T>
void linear_fwd(Stream& s, const LinearFwdArgs<T>& a) {
  const bool keep = a.has_activation && a.z;
  const Gemm<T> g{.m = a.n,
                  .n = a.out,
                  .k = a.in,
                  .a = a.x,
                  .lda = a.in,
                  .a_layout = ALayout::rows,
                  .b = a.w,
                  .ldb = a.w_transposed ? a.out : a.in,
                  .b_transposed = !a.w_transposed,
                  .c = keep ? a.z : a.y,
                  .ldc = a.out,
                  .bias = a.b,
                  .by_columns = true,
                  .bf16 = a.precision == Precision::bf16};
  if (!a.has_activation) return gemm(s, g, [](const Piece<T>&) {});
  gemm(s, g, [&](const Piece<T>& z) {
    with_fusible_in_linear(a.activation, [&](auto f) {
      const Vec<T> none(0);
      for (int i = 0; i < z.rows; ++i) {
        T* y = a.y + (z.row + i) * a.out + z.col;
        for_vec<T>(0, z.cols, [&](auto at) { at.store(y, f.value(at.load(z.c + i * z.ldc), none, none)); });
      }
    });
  });
}

// The rule of a fused update on a piece of the gradient: it belongs to p[first + i * ld + j].
// The rule is a copy, whose fields the stores to p cannot change: they stay in registers.
template <class T, class Rule>
FNN_INLINE void apply_rule(const Rule rule, const Piece<T>& grad, T* p, T* const* state, int64_t first, int64_t ld) {
  for (int i = 0; i < grad.rows; ++i) {
    const int64_t at0 = first + i * ld;
    T* shifted[Rule::kState];
    for (int k = 0; k < Rule::kState; ++k) shifted[k] = state[k] ? state[k] + at0 : nullptr;
    for_vec<T>(0, grad.cols, [&](auto at) {
      at.store(p + at0, updated(rule, shifted, at, at.load(p + at0), at.load(grad.c + i * grad.ldc)));
    });
  }
}

template <class T>
FNN_INLINE void apply_update(const FusedUpdate<T>& u, const Piece<T>& grad, T* p, T* const* state, int64_t first,
                             int64_t ld) {
  if (u.kind == FusedRule::adam) return apply_rule(u.adam.value, grad, p, state, first, ld);
  apply_rule(u.sgd.value, grad, p, state, first, ld);
}

// p -= lr (g + decay p) and nothing else: the register tile does that itself.
template <class T>
FNN_INLINE bool plain_descent(const FusedUpdate<T>& u) {
  return u.kind == FusedRule::sgd && !u.w_state[0] && !u.sgd.value.maximize;
}

// The slope of the activation that x came out of, on a piece of dx.
template <class T>
FNN_INLINE void apply_input_slope(const LinearBwdArgs<T>& a, const Piece<T>& dx) {
  with_fusible_in_linear(a.input_activation, [&](auto f) {
    const Vec<T> none(0);
    for (int i = 0; i < dx.rows; ++i) {
      const T* xz = a.input_xz + (dx.row + i) * a.in + dx.col;
      T* row = dx.c + i * dx.ldc;
      for_vec<T>(0, dx.cols, [&](auto at) { at.store(row, at.load(row) * f.slope(at.load(xz), none, none)); });
    }
  });
}

// Columns [c0, c1) of dx = g w.
template <class T>
void input_gradient(Stream& s, const LinearBwdArgs<T>& a, const T* g, int64_t c0, int64_t c1) {
  const Gemm<T> product{.m = a.n,
                        .n = c1 - c0,
                        .k = a.out,
                        .a = g,
                        .lda = a.out,
                        .a_layout = ALayout::rows,
                        .b = a.w + (a.w_transposed ? c0 * a.out : c0),
                        .ldb = a.w_transposed ? a.out : a.in,
                        .b_transposed = a.w_transposed,
                        .c = a.dx + c0,
                        .ldc = a.in,
                        .bf16 = a.precision == Precision::bf16};
  if (!a.has_input_activation) return gemm(s, product, [](const Piece<T>&) {});
  gemm(s, product, [&](const Piece<T>& dx) {
    with_fusible_in_linear(a.input_activation, [&](auto f) {
      const Vec<T> none(0);
      for (int i = 0; i < dx.rows; ++i) {
        const T* xz = a.input_xz + (dx.row + i) * a.in + c0 + dx.col;
        T* row = dx.c + i * dx.ldc;
        for_vec<T>(0, dx.cols, [&](auto at) { at.store(row, at.load(row) * f.slope(at.load(xz), none, none)); });
      }
    });
  });
}

// Rows [r0, r1) of dw, which is (in, out) = x^T g or (out, in) = g^T x.
template <class T>
void weight_gradient(Stream& s, const LinearBwdArgs<T>& a, const T* g, int64_t r0, int64_t r1) {
  const bool swap = !a.w_transposed;
  const int64_t ld = swap ? a.in : a.out, first = r0 * ld;
  const Descent<T> descent{a.update.sgd.value.lr, a.update.sgd.value.weight_decay};
  Gemm<T> product{.m = r1 - r0,
                  .n = ld,
                  .k = a.n,
                  .a = (swap ? g : a.x) + r0,
                  .lda = swap ? a.out : a.in,
                  .a_layout = ALayout::columns,
                  .b = swap ? a.x : g,
                  .ldb = ld,
                  .b_transposed = false,
                  .c = a.updates() ? nullptr : a.dw + first,
                  .ldc = ld,
                  .by_columns = !swap,
                  .bf16 = a.precision == Precision::bf16};
  if (!a.updates()) return gemm(s, product, [](const Piece<T>&) {});
  static_assert(kFusedRows<T> <= kOnePass<T>);
  if (plain_descent(a.update)) {
    product.c = a.update.w + first;
    product.descent = &descent;
    return gemm(s, product, [](const Piece<T>&) {});
  }
  gemm(s, product, [&](const Piece<T>& dw) {
    apply_update(a.update, dw, a.update.w, a.update.w_state, first + dw.row * ld + dw.col, ld);
  });
}

// dx and dw, a few rows of w (in, out) at a time: dx reads them as they were, and they are still
// in the cache when they change.
template <class T>
void both_gradients(Stream& s, const LinearBwdArgs<T>& a, const T* g) {
  const int64_t rows = a.n * a.in * a.out < kSplitWork ? a.in : kStrip * kMaxRows;
  parallel_for(s, a.in, rows, [&](int64_t begin, int64_t end) {
    Stream alone{1, {}};
    input_gradient(alone, a, g, begin, end);
    weight_gradient(alone, a, g, begin, end);
  });
}

template <class T>
void linear_bwd(Stream& s, const LinearBwdArgs<T>& a) {
  const T* g = a.dy;
  if (a.has_activation) {
    with_fusible_in_linear(a.activation, [&](auto f) {
      parallel_for(s, a.n * a.out, 16384, [&](int64_t begin, int64_t end) {
        const Vec<T> none(0);
        for_vec<T>(begin, end, [&](auto at) { at.store(a.g, at.load(a.dy) * f.slope(at.load(a.yz), none, none)); });
      });
    });
    g = a.g;
  }
  if (a.db) {
    column_sums(g, a.n, a.out, a.db, a.out);
    if (a.updates() && a.update.b)
      apply_update(a.update, Piece<T>{a.db, 0, 0, 0, 1, static_cast<int>(a.out)}, a.update.b, a.update.b_state, 0, 0);
  }
  // Few rows: time goes into moving weights more than into products.
  if (a.dx && a.dw && a.w_transposed && a.n < kFewRows) return both_gradients(s, a, g);
  if (a.dx) input_gradient(s, a, g, 0, a.in);  // before w may change
  if (a.dw) weight_gradient(s, a, g, 0, a.w_transposed ? a.in : a.out);
}

#include "isa/instantiate.h"
#include "ops/linear/kernels.inc"

}  // namespace fnn::FNN_ISA
