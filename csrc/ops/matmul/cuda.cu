#include "ops/matmul/args.h"

#include "ops/optimizer/tile.h"
#include "ops/unary/tile.h"
#include "tile/dense.cuh"
#include "tile/gemm.cuh"
#include "tile/gemm_hopper.cuh"

namespace fnn::cuda {
namespace {

// What follows a product, element by element; null pointers are left out. These functions are not
// inlined: all kernels would contain all formulas.
template <class T>
struct Formula {
  const T* bias;
  T* z;
  const T* xz;  // then the slope there is a factor; otherwise the value is taken
  T* y;
  int64_t n;
};

// A number at a time: packs of them take more registers than the kernels have left.
template <class T>
__device__ __noinline__ void activate(Piece<T> c, Formula<T> f, UnaryOp op) {
  with_fusible_in_linear(op, [&](auto function) {
    for_packs<1>(c, [&](int64_t row, int64_t col, int count, Pack<T, 1> v) {
      const PackAt<1> at{row * f.n + col, count};
      if (f.xz) return at.store(f.y, v * function.slope(at.load(f.xz), v, v));
      if (f.bias) v += PackAt<1>{col, count}.load(f.bias);
      if (f.z) at.store(f.z, v);
      at.store(f.y, function.value(v, v, v));
    });
  });
}

// The optimizer's step for parameters whose gradients these are.
template <class T, class Rule>
__device__ __noinline__ void step(Piece<T> c, Rule rule, T* w, T* state0, T* state1, T* state2, int64_t n) {
  T* const state[] = {state0, state1, state2};
  for_packs<Vec<T>::N>(c, [&](int64_t row, int64_t col, int count, const Vec<T>& v) {
    const PackAt<Vec<T>::N> at{row * n + col, count};
    at.store(w, updated(rule, state, at, at.load(w), v));
  });
}

template <class T>
struct FinishPiece {
  static_assert(kFusedRows<T> < 2 * kChunk, "a fused update is one sum, and so is the gradient it replaces");

  DenseFinish<T> d;
  int64_t m, n;

  __device__ void operator()(const Piece<T>& c) const {
    constexpr int N = Vec<T>::N;
    const FusedUpdate<T>& u = d.update;
    if (d.has_activation)
      activate(c, {d.bias, d.z, nullptr, d.y, n}, d.activation);
    else if (d.has_slope)
      activate(c, {nullptr, nullptr, d.xz, d.y, n}, d.slope_of);
    else if (u.kind == FusedRule::sgd)
      step(c, u.sgd.get(), u.w, u.w_state[0], u.w_state[1], u.w_state[2], n);
    else if (u.kind == FusedRule::adam)
      step(c, u.adam.get(), u.w, u.w_state[0], u.w_state[1], u.w_state[2], n);
    else
      for_packs<N>(c, [&](int64_t row, int64_t col, int count, Vec<T> v) {
        if (d.bias) v += PackAt<N>{col, count}.load(d.bias);
        PackAt<N>{(c.batch * m + row) * n + col, count}.store(d.y, v);
      });
  }
};

StridedShape<1> strides_of(const StridedShape<3>& batch, int array) {
  StridedShape<1> one = {batch.ndim, {}, {}};
  for (int d = 0; d < batch.ndim; ++d) {
    one.size[d] = batch.size[d];
    one.stride[0][d] = batch.stride[array][d];
  }
  return one;
}

// Whether several products of a batch share a matrix.
bool repeats(const StridedShape<3>& batch) {
  for (int d = 0; d < batch.ndim; ++d)
    if (batch.size[d] > 1 && (batch.stride[1][d] == 0 || batch.stride[2][d] == 0)) return true;
  return false;
}

template <class T, bool AAlongK, bool BAlongK>
void product(Stream& s, const Dense<T>& d) {
  using A = Matrix<T, AAlongK>;
  using B = Matrix<T, BAlongK>;
  const Product<T, A, B, FinishPiece<T>> p{d.m,
                                           d.n,
                                           d.k,
                                           d.batch.numel(),
                                           matrix<T, AAlongK>(d.a, d.lda, AAlongK ? d.k : d.m, strides_of(d.batch, 1)),
                                           matrix<T, BAlongK>(d.b, d.ldb, BAlongK ? d.k : d.n, strides_of(d.batch, 2)),
                                           {d.finish, d.m, d.n}};
  if constexpr (sizeof(T) == 4)
    if (!repeats(d.batch) && hopper_gemm(s, p, d.precision)) return;  // that would round a shared matrix many times
  gemm(s, p, d.precision);
}

}  // namespace

template <class T>
void dense(Stream& s, const Dense<T>& d) {
  if (d.a_transposed) return d.b_transposed ? product<T, false, true>(s, d) : product<T, false, false>(s, d);
  return d.b_transposed ? product<T, true, true>(s, d) : product<T, true, false>(s, d);
}
template void dense(Stream&, const Dense<f32>&);
template void dense(Stream&, const Dense<f64>&);

template <class T>
void matmul(Stream& s, const MatmulArgs<T>& x) {
  dense(s, Dense<T>{.m = x.m,
                    .n = x.n,
                    .k = x.k,
                    .a = x.a,
                    .lda = x.lda,
                    .a_transposed = x.a_transposed,
                    .b = x.b,
                    .ldb = x.ldb,
                    .b_transposed = x.b_transposed,
                    .finish = {.y = x.c},
                    .precision = x.precision,
                    .batch = x.batch});
}

#include "isa/instantiate.h"
#include "ops/matmul/kernels.inc"

}  // namespace fnn::cuda
