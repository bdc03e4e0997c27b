#include "ops/matmul/op.h"

#include <atomic>

#include "autograd/tape.h"
#include "core/iterate.h"
#include "isa/isa.h"
#include "plan/launch.h"
#include "plan/plan.h"
#include "ops/copy/op.h"
#include "ops/reduce/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

constexpr const char* kPrecisions[] = {"highest", "high", "medium"};
constexpr int kHigh = 1, kMedium = 2;
std::atomic<int> precision = 0;

void set_precision(const std::string& name) {
  for (int i = 0; i <= kMedium; ++i)
    if (name == kPrecisions[i]) {
      if (precision.exchange(i) != i) forget_plans();
      return;
    }
  fail("set_float32_matmul_precision", "precision must be highest, high or medium; got '", name, "'");
}

}  // namespace

Precision product_precision() {
  const bool cpu = is_cpu(active_stream().device);
  if (precision == kMedium && (!cpu || chosen_isa().bf16)) return Precision::bf16;
  return precision == kHigh && !cpu ? Precision::tf32 : Precision::full;
}

Tensor swapped(const Tensor& x) {
  const int n = x->ndim();
  Tensor y = alias(x);
  std::swap(y->shape[n - 2], y->shape[n - 1]);
  std::swap(y->strides[n - 2], y->strides[n - 1]);
  return y;
}

namespace {

// Matrices as the kernel takes them: in either order of memory, no copy when one of the
// strides is 1.
struct Matrices {
  Tensor held;
  int64_t ld;
  bool transposed;
};

Matrices as_matrices(const Tensor& x) {
  const int row = x->ndim() - 2, col = row + 1;
  const int64_t rows = x->shape[row], cols = x->shape[col], sr = x->strides[row], sc = x->strides[col];
  if ((sc == 1 || cols == 1) && (sr >= cols || rows <= 1)) return {x, rows <= 1 ? cols : sr, false};
  if ((sr == 1 || rows == 1) && (sc >= rows || cols <= 1)) return {x, cols <= 1 ? rows : sc, true};
  return {as_contiguous(x), cols, false};
}

Dims leading(Dims d) {
  d.erase(d.size() - 1);
  d.erase(d.size() - 1);
  return d;
}

// Whether one matrix on the right serves a whole batch: then all rows on the left are those of one.
bool shared_right(const Tensor& a, const Tensor& b) { return a->ndim() > 2 && b->ndim() == 2; }

// (..., m, k) as (rows, k), without the tape.
Tensor flat_rows(const Tensor& x) {
  const int64_t k = x->shape.back();
  const Dims shape = {k > 0 ? x->numel() / k : 0, k};
  Dims strides;
  if (view_strides(*x, shape, strides)) return alias(x, shape, strides, x->offset);
  return alias(as_contiguous(x), shape, {k, 1}, 0);
}

// Without the tape: (..., m, k) times (..., k, n), leading dimensions broadcast.
Tensor product(const Tensor& a, const Tensor& b) {
  const int64_t m = a->shape[a->ndim() - 2], k = a->shape.back(), n = b->shape.back();
  const Dims batch = broadcast_shapes("matmul", leading(a->shape), leading(b->shape));
  Dims shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  if (k > 0 && shared_right(a, b)) {
    const Tensor y = product(flat_rows(a), b);
    return alias(y, shape, contiguous_strides(shape), y->offset);
  }
  const Matrices ma = as_matrices(a), mb = as_matrices(b);
  const Tensor y = empty(shape, a->dtype);
  visit_floating("matmul", "input", a->dtype, [&]<class T>() {
    MatmulArgs<T> args{{},
                       m,
                       n,
                       k,
                       ma.held->data<T>(),
                       ma.ld,
                       ma.transposed,
                       mb.held->data<T>(),
                       mb.ld,
                       mb.transposed,
                       y->data<T>(),
                       product_precision()};
    args.batch = merge_dims<3>(batch, {leading(y->strides), leading(broadcast_strides(*ma.held, shape)),
                                       leading(broadcast_strides(*mb.held, shape))});
    launch<kernel::matmul>(args);
  });
  return y;
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
      if (!dx.needs(1)) return;
      const bool flat = shared_right(a, b);
      dx[1] = sum_to(product(swapped(flat ? flat_rows(a) : a), flat ? flat_rows(dy) : dy), b->shape);
    };
  });
  Dims shape = y->shape;
  if (other->ndim() == 1) shape.erase(shape.size() - 1);
  if (input->ndim() == 1) shape.erase(shape.size() - (other->ndim() == 1 ? 1 : 2));
  return shape == y->shape ? y : reshape(y, shape);
}

}  // namespace

void bind_matmul(Module& m) {
  def_op(m, "matmul", &matmul,
         "Matrix product (..., m, k) x (..., k, n) -> (..., m, n); leading dimensions broadcast, vectors are taken as "
         "a row or a column. float32 or float64, both of one type. Raises a ValueError when the sizes do not match.",
         required("other"));
  m.def(
      "set_float32_matmul_precision", &set_precision, py::arg("precision"),
      "How far float32 matrix products (matmul, linear and, on GPUs, convolutions, forward and backward) may round "
      "what "
      "they multiply; sums are float32 always. 'highest', the default: not at all, to float32's accuracy. 'high': to "
      "TF32, a relative error of up to 2^-11 a number, on GPUs with TF32 (compute capability 8.0 or later). 'medium': "
      "to "
      "bfloat16, a relative error of up to 2^-8 a number, on these GPUs and on processors with AVX512-BF16 (where "
      "config()['bf16'] is true). A mode allows rounding and does not ask for it: products of fewer than 32 rows, "
      "columns or terms, convolutions of few channels and all convolutions on the CPU are not rounded, and what a "
      "device "
      "does not have is the same as 'highest', to the bit. Subnormal numbers may count as 0 where numbers are rounded. "
      "Compiled steps record anew when it changes. Raises a ValueError for other names.");
  m.def(
      "get_float32_matmul_precision", [] { return kPrecisions[precision]; },
      "'highest', 'high' or 'medium', as set_float32_matmul_precision was told.");
}

}  // namespace fnn
