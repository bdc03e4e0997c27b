#pragma once

#include "autograd/tape.h"

namespace fnn {

// What augmenting operations take: floating images (N, C, H, W), through which no gradient is wanted.
inline void check_images(const char* op, const Tensor& x) {
  visit_floating(op, "input", x->dtype, []<class T>() {});
  check(x->ndim() == 4, op, "expected images (N, C, H, W); got shape ", x->shape);
  check(x->shape[2] > 0 && x->shape[3] > 0, op, "expected images of at least one pixel; got shape ", x->shape);
  check<TypeError>(!needs_grad({&x}), op, "input has no gradient here: augment data, or use detach()");
}

}  // namespace fnn
