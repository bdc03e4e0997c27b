#include "ops/reduce/op.h"

#include <algorithm>
#include <optional>

#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/binary/op.h"
#include "ops/copy/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

// x as (outer, reduced, inner) in memory, and the layout of the result with sizes of 1
// where a dimension was reduced.
struct Layout {
  Tensor x;
  int64_t outer = 1, reduced = 1, inner = 1;
  Dims shape, strides;
};

using Mask = bool[kMaxDims];

Layout plan(const Tensor& x, const Mask& reduce) {
  const int n = x->ndim();
  int order[kMaxDims];  // by decreasing stride when dense, so that a channels-last sum copies nothing
  for (int i = 0; i < n; ++i) order[i] = i;
  bool dense = is_dense(*x);
  if (dense) std::stable_sort(order, order + n, [&](int a, int b) { return x->strides[a] > x->strides[b]; });

  Layout out;
  int runs = 0;  // of reduced dimensions side by side; sizes of 1 part nothing
  bool inside = false;
  for (int k = 0; k < n; ++k) {
    if (x->shape[order[k]] == 1) continue;
    runs += reduce[order[k]] && !inside;
    inside = reduce[order[k]];
  }
  if (!dense || runs > 1) {  // reduced dimensions last, in a copy
    std::stable_partition(order, order + n, [&](int d) { return !reduce[d]; });
    Dims strides = x->strides;
    for (int64_t k = n - 1, step = 1; k >= 0; --k) {
      strides[order[k]] = step;
      step *= std::max<int64_t>(x->shape[order[k]], 1);
    }
    out.x = empty_strided(x->shape, strides, x->dtype);
    copy_into(out.x, x);
  } else {
    out.x = x;
  }
  bool seen = false;
  for (int k = 0; k < n; ++k) {
    const int64_t size = x->shape[order[k]];
    if (reduce[order[k]]) {
      out.reduced *= size;
      seen |= size != 1;
    } else {
      (seen ? out.inner : out.outer) *= size;
    }
  }
  out.shape = x->shape;
  out.strides = x->shape;
  for (int64_t k = n - 1, step = 1; k >= 0; --k) {
    const int d = order[k];
    if (reduce[d]) out.shape[d] = 1;
    out.strides[d] = step;
    step *= std::max<int64_t>(out.shape[d], 1);
  }
  return out;
}

Tensor drop_reduced(const Tensor& y, const Mask& reduce) {
  Tensor out = alias(y);
  for (int i = y->ndim() - 1; i >= 0; --i)
    if (reduce[i]) {
      out->shape.erase(i);
      out->strides.erase(i);
    }
  return out;
}

void fill_mask(const char* op, const Tensor& x, const std::optional<Dims>& dims, Mask& reduce) {
  std::fill(reduce, reduce + kMaxDims, !dims.has_value());
  if (!dims) return;
  for (int64_t d : *dims) {
    const int i = normalize_dim(op, d, x->ndim());
    check(!reduce[i], op, "dim ", d, " is given twice");
    reduce[i] = true;
  }
}

// Keeps the reduced dimensions as sizes of 1.
Tensor sum_over(const Tensor& x, const Mask& reduce, bool mean) {
  const Layout r = plan(x, reduce);
  const Tensor y = empty_strided(r.shape, r.strides, x->dtype);
  const auto run = [&]<class T>() {
    const T scale = mean ? T(1) / static_cast<T>(r.reduced) : T(1);
    launch<kernel::reduce_sum>(ReduceSumArgs<T>{r.x->data<T>(), y->data<T>(), r.outer, r.reduced, r.inner, scale});
  };
  if (y->numel() == 0) return y;
  x->dtype == DType::i64 ? run.operator()<i64>() : visit_floating("sum", "input", x->dtype, run);
  return y;
}

// Gives dy the shape of x: reduced dimensions come back as repeats.
Tensor expand_reduced(const Tensor& dy, const Mask& reduce, const Dims& shape) {
  Tensor g = alias(dy);
  for (int i = 0; i < shape.size(); ++i)
    if (reduce[i]) {
      if (g->ndim() < shape.size()) {
        g->shape.insert(i, 1);
        g->strides.insert(i, 0);
      }
      g->shape[i] = shape[i];
      g->strides[i] = 0;
    }
  return g;
}

Tensor sum_or_mean(const Tensor& input, const std::optional<Dims>& dims, bool keepdim, bool mean) {
  const char* op = mean ? "mean" : "sum";
  check<TypeError>(!mean || is_floating(input->dtype), op, "input must be float32 or float64; got ",
                   name(input->dtype));
  const Tensor x = is_floating(input->dtype) ? input : cast(op, input, DType::i64);
  Mask reduce;
  fill_mask(op, x, dims, reduce);
  const Tensor kept = sum_over(x, reduce, mean);
  const Tensor y = keepdim ? kept : drop_reduced(kept, reduce);
  return record(op, {&x}, y, [&] {
    std::vector<bool> flags(reduce, reduce + kMaxDims);
    const double scale = mean ? static_cast<double>(y->numel()) / static_cast<double>(x->numel()) : 1.0;
    return [flags, shape = x->shape, scale, keepdim](const Tensor& dy, Grads& dx) {
      Mask reduce;
      std::copy(flags.begin(), flags.end(), reduce);
      Tensor g = dy;
      if (scale != 1.0) g = mul(dy, full({}, dy->dtype, scale));
      dx[0] = clone(expand_reduced(g, reduce, shape));
    };
  });
}

std::pair<Tensor, Tensor> max_over(const char* op, const Tensor& x, const Mask& reduce, bool keepdim, bool minimum) {
  for (int i = 0; i < x->ndim(); ++i)
    check(!reduce[i] || x->shape[i] > 0, op, "has no value over an empty dimension; got shape ", x->shape);
  const Layout r = plan(x, reduce);
  Tensor y = empty_strided(r.shape, r.strides, x->dtype);
  Tensor index = empty_strided(r.shape, r.strides, DType::i64);
  if (y->numel() > 0)
    visit_all(x->dtype, [&]<class T>() {
      if constexpr (!std::is_same_v<T, bool>)
        launch<kernel::reduce_max>(
            ReduceMaxArgs<T>{r.x->data<T>(), y->data<T>(), index->data<i64>(), r.outer, r.reduced, r.inner, minimum});
    });
  if (!keepdim) {
    y = drop_reduced(y, reduce);
    index = drop_reduced(index, reduce);
  }
  const auto values = record(op, {&x}, y, [&] {
    return [op, index = Saved(index), dense = r.x->strides, r_outer = r.outer, r_reduced = r.reduced, r_inner = r.inner,
            shape = x->shape](const Tensor& dy, Grads& dx) {
      const Tensor& at = index.get(op);
      const Tensor g = as_strided_like(dy, at->strides);
      dx[0] = empty_strided(shape, dense, dy->dtype);
      visit_floating(op, "input", dy->dtype, [&]<class T>() {
        launch<kernel::reduce_max_bwd>(
            ReduceMaxBwdArgs<T>{at->data<i64>(), g->data<T>(), dx[0]->data<T>(), r_outer, r_reduced, r_inner});
      });
    };
  });
  return {values, index};
}

// Over the flattened input when dim is not given.
std::pair<Tensor, Tensor> max_flat_or_dim(const char* op, const Tensor& input, std::optional<int64_t> dim, bool keepdim,
                                          bool minimum) {
  const Tensor x = input->dtype == DType::b8 ? cast(op, input, DType::u8) : input;
  Mask reduce = {};
  if (dim) {
    reduce[normalize_dim(op, *dim, x->ndim())] = true;
    return max_over(op, x, reduce, keepdim, minimum);
  }
  std::fill(reduce, reduce + kMaxDims, true);
  const Tensor flat = contiguous(x, MemoryFormat::contiguous);  // the index counts in row-major order
  return max_over(op, flat, reduce, keepdim, minimum);
}

template <bool minimum>
void def_extremum(Module& m, const char* name, const char* arg_name, const char* doc, const char* arg_doc) {
  const auto f = [name](const Tensor& x, std::optional<int64_t> dim, bool keepdim) -> py::object {
    std::pair<Tensor, Tensor> r;
    {
      py::gil_scoped_release release;
      r = max_flat_or_dim(name, x, dim, keepdim, minimum);
    }
    if (!dim) return py::cast(r.first);
    static py::handle type =
        py::module_::import("collections").attr("namedtuple")("MinMax", py::make_tuple("values", "indices")).release();
    return type(r.first, r.second);
  };
  m.def(name, f, doc, required("input"), py::arg("dim") = py::none(), py::arg("keepdim") = false);
  TensorClass(m.attr("Tensor")).def(name, f, doc, py::arg("dim") = py::none(), py::arg("keepdim") = false);
  def_op(
      m, arg_name,
      [arg_name](const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
        const NoGrad guard;
        return max_flat_or_dim(arg_name, x, dim, keepdim, minimum).second;
      },
      arg_doc, py::arg("dim") = py::none(), py::arg("keepdim") = false);
}

}  // namespace

Tensor sum_to(const Tensor& x, const Dims& shape) {
  if (x->shape == shape) return x;
  const int lead = x->ndim() - shape.size();
  Mask reduce = {};
  for (int i = 0; i < x->ndim(); ++i) reduce[i] = i < lead || (shape[i - lead] == 1 && x->shape[i] != 1);
  Tensor y = alias(sum_over(x, reduce, false));
  for (int i = 0; i < lead; ++i) {
    y->shape.erase(0);
    y->strides.erase(0);
  }
  return y;
}

void bind_reduce(Module& m) {
  for (const bool mean : {false, true})
    def_op(
        m, mean ? "mean" : "sum",
        [mean](const Tensor& x, const std::optional<Dims>& dim, bool keepdim) {
          return sum_or_mean(x, dim, keepdim, mean);
        },
        mean ? "Mean over the dimensions of dim (all when None)."
             : "Sum over the dimensions of dim (all when None); integers and bool sum to int64.",
        py::arg("dim") = py::none(), py::arg("keepdim") = false);
  def_extremum<false>(m, "max", "argmax",
                      "Largest element; with dim, (values, indices) along it. Ties go to the first, NaN propagates.",
                      "Index of the largest element, of the flattened input when dim is None.");
  def_extremum<true>(m, "min", "argmin",
                     "Smallest element; with dim, (values, indices) along it. Ties go to the first, NaN propagates.",
                     "Index of the smallest element, of the flattened input when dim is None.");
}

}  // namespace fnn
