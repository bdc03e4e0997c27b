#include "ops/linear/args.h"

#include "cuda/fold.cuh"
#include "ops/optimizer/tile.h"
#include "ops/unary/tile.h"
#include "tile/dense.cuh"

namespace fnn::cuda {
namespace {

// g = dy act'(z), on the way to the sums of its columns or not.
template <class T>
struct Slope {
  const T *dy, *yz;
  T* g;
  bool has_activation;
  UnaryOp activation;

  template <class At>
  __device__ Vec<T> operator()(const At& at) const {
    Vec<T> v = at.load(dy);
    if (!has_activation) return v;
    with_fusible_in_linear(activation, [&](auto f) { v = v * f.slope(at.load(yz), Vec<T>(0), Vec<T>(0)); });
    at.store(g, v);
    return v;
  }
};

// db, or the step of an optimizer that it leads to.
template <class T>
struct Bias {
  T* db;
  FusedUpdate<T> update;  // b is null without one

  __device__ void operator()(int64_t i, const Sum<T>& sum) const {
    db[i] = sum.total;
    if (!update.b) return;
    if (update.kind == FusedRule::sgd) step(update.sgd.get(), i, sum.total);
    if (update.kind == FusedRule::adam) step(update.adam.get(), i, sum.total);
  }
  template <class Rule>
  __device__ void step(const Rule& rule, int64_t i, T sum) const {
    const PackAt<1> at{i, 1};
    at.store(update.b, updated(rule, update.b_state, at, at.load(update.b), Pack<T, 1>(sum)));
  }
};

}  // namespace

template <class T>
void linear_fwd(Stream& s, const LinearFwdArgs<T>& a) {
  dense(s, Dense<T>{.m = a.n,
                    .n = a.out,
                    .k = a.in,
                    .a = a.x,
                    .lda = a.in,
                    .a_transposed = false,
                    .b = a.w,
                    .ldb = a.w_transposed ? a.out : a.in,
                    .b_transposed = !a.w_transposed,
                    .finish = {.y = a.y,
                               .bias = a.b,
                               .z = a.has_activation ? a.z : nullptr,
                               .has_activation = a.has_activation,
                               .activation = a.activation},
                    .precision = a.precision});
}

template <class T>
void linear_bwd(Stream& s, const LinearBwdArgs<T>& a) {
  const Slope<T> slope{a.dy, a.yz, a.g, a.has_activation, a.activation};
  if (a.db)
    column_sums<T>(s, a.n, a.out, slope, Bias<T>{a.db, a.update});
  else if (a.has_activation)
    for_packs<T>(s, a.n * a.out, slope);
  const T* g = a.has_activation ? a.g : a.dy;
  if (a.dx)  // dx = g w; before w may change
    dense(s, Dense<T>{.m = a.n,
                      .n = a.in,
                      .k = a.out,
                      .a = g,
                      .lda = a.out,
                      .a_transposed = false,
                      .b = a.w,
                      .ldb = a.w_transposed ? a.out : a.in,
                      .b_transposed = a.w_transposed,
                      .finish = {.y = a.dx,
                                 .xz = a.input_xz,
                                 .has_slope = a.has_input_activation,
                                 .slope_of = a.input_activation},
                      .precision = a.precision});
  if (!a.dw) return;
  // dw (in, out) = x^T g, or (out, in) = g^T x
  const bool swap = !a.w_transposed;
  dense(s, Dense<T>{.m = swap ? a.out : a.in,
                    .n = swap ? a.in : a.out,
                    .k = a.n,
                    .a = swap ? g : a.x,
                    .lda = swap ? a.out : a.in,
                    .a_transposed = true,
                    .b = swap ? a.x : g,
                    .ldb = swap ? a.in : a.out,
                    .b_transposed = false,
                    .finish = {.y = a.dw, .update = a.update},
                    .precision = a.precision});
}

#include "isa/instantiate.h"
#include "ops/linear/kernels.inc"

}  // namespace fnn::cuda
