#include "ops/matmul/op.h"

#include "autograd/tape.h"
#include "core/iterate.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/reduce/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {

Matrix as_matrix(const Tensor& x) {
  const int64_t rows = x->shape[0], cols = x->shape[1], sr = x->strides[0], sc = x->strides[1];
  if ((sc == 1 || cols == 1) && (sr >= cols || rows <= 1)) return {x, rows <= 1 ? cols : sr, false};
  if ((sr == 1 || rows == 1) && (sc >= rows || cols <= 1)) return {x, cols <= 1 ? rows : sc, true};
  return {as_contiguous(x), cols, false};
}

Tensor swapped(const Tensor& x) {
  const int n = x->ndim();
  Tensor y = alias(x);
  std::swap(y->shape[n - 2], y->shape[n - 1]);
  std::swap(y->strides[n - 2], y->strides[n - 1]);
  return y;
}

Tensor matmul_2d(const Tensor& a, const Tensor& b) {
  const Matrix ma = as_matrix(a), mb = as_matrix(b);
  const int64_t m = a->shape[0], k = a->shape[1], n = b->shape[1];
  Tensor y = empty({m, n}, a->dtype);
  visit_floating("matmul", "input", a->dtype, [&]<class T>() {
    launch<kernel::matmul>(MatmulArgs<T>{1, m, n, k, ma.held->data<T>(), ma.ld, 0, ma.transposed, mb.held->data<T>(),
                                         mb.ld, 0, mb.transposed, y->data<T>(), n, 0});
  });
  return y;
}

namespace {

// (..., m, k) times (..., k, n): leading dimensions broadcast.
Tensor matmul_batched(const Tensor& a, const Tensor& b) {
  const auto leading = [](const Tensor& x) {
    Dims d = x->shape;
    d.erase(d.size() - 1);
    d.erase(d.size() - 1);
    return d;
  };
  const Dims batch = broadcast_shapes("matmul", leading(a), leading(b));
  const int64_t m = a->shape[a->ndim() - 2], k = a->shape.back(), n = b->shape.back(), count = numel(batch);
  const auto expanded = [&](const Tensor& x, int64_t rows, int64_t cols) {
    Dims shape = batch;
    shape.push_back(rows);
    shape.push_back(cols);
    return as_contiguous(alias(x, shape, broadcast_strides(*x, shape), x->offset));
  };
  const Tensor ca = expanded(a, m, k), cb = expanded(b, k, n);
  Dims shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor y = empty(shape, a->dtype);
  visit_floating("matmul", "input", a->dtype, [&]<class T>() {
    launch<kernel::matmul>(MatmulArgs<T>{count, m, n, k, ca->data<T>(), k, m * k, false, cb->data<T>(), n, k * n, false,
                                         y->data<T>(), n, m * n});
  });
  return y;
}

Tensor product(const Tensor& a, const Tensor& b) {
  return a->ndim() == 2 && b->ndim() == 2 ? matmul_2d(a, b) : matmul_batched(a, b);
}

Tensor matmul(const Tensor& input, const Tensor& other) {
  check(input->ndim() > 0 && other->ndim() > 0, "matmul", "needs at least one dimension; got shapes ", input->shape,
        " and ", other->shape);
  check<TypeError>(input->dtype == other->dtype, "matmul", "expected both of one dtype; got ", name(input->dtype),
                   " and ", name(other->dtype));
  visit_floating("matmul", "input", input->dtype, []<class T>() {});
  // A vector is a row on the left and a column on the right, and leaves the result again.
  const Tensor a = input->ndim() == 1 ? reshape(input, {1, input->shape[0]}) : input;
  const Tensor b = other->ndim() == 1 ? reshape(other, {other->shape[0], 1}) : other;
  check(a->shape.back() == b->shape[b->ndim() - 2], "matmul", "expected shapes (..., m, k) and (..., k, n); got ",
        input->shape, " and ", other->shape);
  Tensor y = record("matmul", {&a, &b}, product(a, b), [&] {
    return [sa = Saved(a), sb = Saved(b)](const Tensor& dy, Grads& dx) {
      const Tensor &a = sa.get("matmul"), &b = sb.get("matmul");
      if (dx.needs(0)) dx[0] = sum_to(product(dy, swapped(b)), a->shape);
      if (dx.needs(1)) dx[1] = sum_to(product(swapped(a), dy), b->shape);
    };
  });
  Dims shape = y->shape;
  if (other->ndim() == 1) shape.erase(shape.size() - 1);
  if (input->ndim() == 1) shape.erase(shape.size() - (other->ndim() == 1 ? 1 : 2));
  return shape == y->shape ? y : reshape(y, shape);
}

}  // namespace

void bind_matmul(py::module_& m) {
  def_op(m, "matmul", &matmul,
         "Matrix product (..., m, k) x (..., k, n) -> (..., m, n); leading dimensions broadcast, vectors are taken as "
         "a row or a column. float32 or float64, both of one type. Raises a ValueError when the sizes do not match.",
         required("other"));
}

}  // namespace fnn
