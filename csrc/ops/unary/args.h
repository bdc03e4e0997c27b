#pragma once

#include <cstdint>

namespace fnn {

// alpha, beta: pow has the exponent; leaky_relu the slope; clip the bounds.
enum class UnaryOp {
  neg,
  abs,
  exp,
  log,
  sqrt,
  square,
  pow,
  clip,
  sin,
  cos,
  erf,
  relu,
  leaky_relu,
  sigmoid,
  tanh,
  gelu,
  gelu_tanh,
  silu
};

// Whose derivative is computed from y = f(x) instead of x.
__attribute__((always_inline)) constexpr bool reads_y(UnaryOp op) {
  return op == UnaryOp::exp || op == UnaryOp::sqrt || op == UnaryOp::relu || op == UnaryOp::sigmoid ||
         op == UnaryOp::tanh;
}

// The activations that other kernels contain: those whose slope reads y alone.
__attribute__((always_inline)) constexpr bool fusible(UnaryOp op) {
  return op == UnaryOp::relu || op == UnaryOp::sigmoid || op == UnaryOp::tanh;
}

// The activations that dense layers contain: the slope may read what went in as well, the
// layer keeps that beside what comes out.
__attribute__((always_inline)) constexpr bool fusible_in_linear(UnaryOp op) {
  return fusible(op) || op == UnaryOp::gelu || op == UnaryOp::gelu_tanh || op == UnaryOp::silu;
}

// y[i] = f(x[i])
template <class T>
struct UnaryFwdArgs {
  const T* x;  // (n)
  T* y;        // (n)
  int64_t n;
  UnaryOp op;
  T alpha, beta;

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out(y, n);
  }
};

// dx[i] = dy[i] f'(x[i]). Reads y instead of x where f' is reads_y(op).
template <class T>
struct UnaryBwdArgs {
  const T* xy;  // (n): x or y
  const T* dy;  // (n)
  T* dx;        // (n)
  int64_t n;
  UnaryOp op;
  T alpha, beta;

  template <class V>
  void visit(V& v) {
    v.in(xy, n);
    v.in(dy, n);
    v.out(dx, n);
  }
};

}  // namespace fnn
