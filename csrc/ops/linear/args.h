#pragma once

#include <cstdint>

#include "core/inline.h"
#include "core/precision.h"
#include "ops/optimizer/args.h"
#include "ops/unary/args.h"

namespace fnn {

// y = act(z), z = x w^T + b
template <class T>
struct LinearFwdArgs {
  int64_t n, in, out;
  const T* x;  // (n, in)
  const T* w;  // (out, in), or (in, out) when w_transposed
  bool w_transposed;
  const T* b;  // (out) or null
  T* z;        // (n, out), or null where nobody will read it; not used without an activation
  T* y;        // (n, out)
  bool has_activation;
  UnaryOp activation;
  Precision precision;

  template <class V>
  void visit(V& v) {
    v.in(x, n * in);
    v.in(w, out * in);
    v.in(b, out);
    if (has_activation) v.out(z, n * out);
    v.out(y, n * out);
  }
  double flops() const { return 2.0 * n * in * out; }
};

// What becomes of a gradient that an optimizer's rule takes at once, as a plan arranges it.
enum class FusedRule { none, sgd, adam };

template <class T>
constexpr int64_t kFusedRows = 3072 / static_cast<int64_t>(sizeof(T));  // the largest n it works for

template <class T>
struct FusedUpdate {
  FusedRule kind;
  Changing<SgdRule<T>> sgd;
  Changing<AdamRule<T>> adam;
  T *w, *b;                    // the parameters themselves; b is null without db
  T *w_state[3], *b_state[3];  // laid out as they are, or null
};

// With g = dy act'(z):  dx = g w,  dw = g^T x,  db = column sums of g.
template <class T>
struct LinearBwdArgs {
  int64_t n, in, out;
  const T* x;  // (n, in)
  const T* w;  // (out, in), or (in, out) when w_transposed
  bool w_transposed;
  const T* yz;  // (n, out): y, or z where the slope of the activation does not read y; or null
  const T* dy;  // (n, out)
  T* g;         // (n, out) scratch; null without an activation
  T* dx;        // (n, in) or null
  T* dw;        // laid out as w, or null; with an update that is not none it is not written
  T* db;        // (out) or null
  bool has_activation;
  UnaryOp activation;
  // In plans only: x came out of an activation, and dx is the gradient of what went in.
  bool has_input_activation;
  UnaryOp input_activation;
  const T* input_xz;  // (n, in): x or what went in, as its slope reads
  FusedUpdate<T> update;
  Precision precision;

  FNN_INLINE bool updates() const { return update.kind != FusedRule::none; }

  template <class V>
  void visit(V& v) {
    v.in(x, n * in);
    v.in(w, out * in);
    if (has_activation) v.in(yz, n * out);
    if (has_input_activation) v.in(input_xz, n * in);
    v.in(dy, n * out);
    v.out(g, n * out);
    v.out(dx, n * in);
    v.out(db, out);
    if (!updates()) return v.out(dw, out * in);
    v.inout(update.w, out * in);
    v.inout(update.b, out);
    for (int i = 0; i < 3; ++i) {
      v.inout(update.w_state[i], out * in);
      v.inout(update.b_state[i], out);
    }
  }
  double flops() const { return 2.0 * n * in * out * ((dx ? 1 : 0) + (dw ? 1 : 0)); }
};

}  // namespace fnn
