#pragma once

#include <cstdint>

namespace fnn {

enum class Reduction { none, mean, sum };

// With p = softmax(x) and q the weighted target: row loss = -sum over c of q_c log p_c,
// and its gradient p (sum of q) - q.
//   class targets:        q_c = weight_c ((1 - smoothing) [c = t] + smoothing / classes), with weight_t in
//                         place of weight_c in the first term; rows with t = ignore_index count nothing
//   probability targets:  q_c = weight_c ((1 - smoothing) t_c + smoothing / classes)
// The mean divides by the sum of weight_t over the rows that count, or by n.
template <class T>
struct CrossEntropyArgs {
  int64_t n, classes;
  const T* x;              // (n, classes)
  const int64_t* target;   // (n), or null
  const T* probabilities;  // (n, classes), or null
  const T* weight;         // (classes), or null
  int64_t ignore_index;
  T smoothing;
  Reduction reduction;
  T* row_loss;  // (n): the result when there is no reduction
  T* loss;      // (1) or null
  T* dx;        // (n, classes), scaled as the reduction asks; null when no gradient is wanted

  template <class V>
  void visit(V& v) {
    v.in(x, n * classes);
    v.in(target, n);
    v.in(probabilities, n * classes);
    v.in(weight, classes);
    v.out(row_loss, n);
    v.out(loss, 1);
    v.out(dx, n * classes);
  }
};

// dx = saved * dy, one dy a row or one for all: what is left for backward to do.
template <class T>
struct ScaleRowsArgs {
  int64_t n, width;
  const T* x;   // (n, width)
  const T* dy;  // (n), or (1) when single
  bool single;
  T* dx;  // (n, width)

  template <class V>
  void visit(V& v) {
    v.in(x, n * width);
    v.in(dy, single ? 1 : n);
    v.out(dx, n * width);
  }
};

// y[i] = -weight[t] x[i, t], x being log-probabilities; reductions as above.
template <class T>
struct NllFwdArgs {
  int64_t n, classes;
  const T* x;             // (n, classes)
  const int64_t* target;  // (n)
  const T* weight;        // (classes) or null
  int64_t ignore_index;
  Reduction reduction;
  T* row_loss;  // (n)
  T* loss;      // (1) or null

  template <class V>
  void visit(V& v) {
    v.in(x, n * classes);
    v.in(target, n);
    v.in(weight, classes);
    v.out(row_loss, n);
    v.out(loss, 1);
  }
};

// dx[i, t] = -weight[t] dy / divisor, 0 elsewhere. Reads no values of x.
template <class T>
struct NllBwdArgs {
  int64_t n, classes;
  const int64_t* target;  // (n)
  const T* weight;        // (classes) or null
  int64_t ignore_index;
  Reduction reduction;
  const T* dy;  // (n), or (1) with a reduction
  T* dx;        // (n, classes)

  template <class V>
  void visit(V& v) {
    v.in(target, n);
    v.in(weight, classes);
    v.in(dy, reduction == Reduction::none ? n : 1);
    v.out(dx, n * classes);
  }
};

}  // namespace fnn
