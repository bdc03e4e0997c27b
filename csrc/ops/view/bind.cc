#include "ops/view/op.h"

#include <algorithm>

#include "autograd/tape.h"
#include "core/iterate.h"
#include "ops/copy/op.h"
#include "ops/index/op.h"
#include "ops/reduce/op.h"
#include "python/casters.h"
#include "python/convert.h"

namespace fnn {

bool view_strides(const TensorImpl& x, const Dims& shape, Dims& strides) {
  strides = contiguous_strides(shape);
  if (x.numel() == 0 || is_contiguous(x)) return true;
  // Old dimensions that follow each other in memory form a run; the new dimensions,
  // from the last on, must fill each run exactly.
  int j = shape.size() - 1;
  int64_t run = 1, filled = 1, step = x.strides.back();
  for (int i = x.ndim() - 1; i >= 0; --i) {
    run *= x.shape[i];
    if (i > 0 && (x.shape[i - 1] == 1 || x.strides[i - 1] == run * step)) continue;
    while (j >= 0 && (filled < run || shape[j] == 1)) {
      strides[j] = filled * step;
      filled *= shape[j--];
    }
    if (filled != run) return false;
    run = filled = 1;
    if (i > 0) step = x.strides[i - 1];
  }
  return true;
}

namespace {

// The one -1 in a shape is what is left of the elements.
Dims resolve(const char* op, const Tensor& x, Dims shape) {
  const Dims asked = shape;
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      check(unknown < 0, op, "only one size can be -1; got ", asked);
      unknown = i;
    } else {
      check(shape[i] >= 0, op, "sizes must not be negative; got ", asked);
      check(!__builtin_mul_overflow(known, shape[i], &known), op, "size overflows: ", asked);
    }
  }
  const int64_t n = x->numel();
  if (unknown >= 0) {
    check(known != 0 && n % known == 0, op, "cannot make shape ", asked, " of shape ", x->shape);
    shape[unknown] = n / known;
  } else {
    check(known == n, op, "cannot make shape ", asked, " of shape ", x->shape);
  }
  return shape;
}

// A view with gradient: `back` takes dy to dx.
template <class Back>
Tensor viewed(const char* op, const Tensor& x, Tensor y, Back back) {
  return record(op, {&x}, std::move(y), [&] { return [back](const Tensor& dy, Grads& dx) { dx[0] = back(dy); }; });
}

Tensor reshape_no_tape(const Tensor& x, const Dims& shape) {
  Dims strides;
  if (view_strides(*x, shape, strides)) return alias(x, shape, strides, x->offset);
  const Tensor dense = as_contiguous(x);
  return alias(dense, shape, contiguous_strides(shape), dense->offset);
}

Tensor view(const Tensor& x, Dims shape) {
  shape = resolve("view", x, shape);
  Dims strides;
  check(view_strides(*x, shape, strides), "view", "shape ", shape, " cannot be a view of shape ", x->shape,
        " with strides ", x->strides, "; use reshape");
  return reshape(x, shape);
}

Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim) {
  const int start = normalize_dim("flatten", start_dim, x->ndim()), end = normalize_dim("flatten", end_dim, x->ndim());
  check(start <= end, "flatten", "start_dim ", start_dim, " comes after end_dim ", end_dim);
  if (x->ndim() == 0) return reshape(x, {1});
  Dims shape;
  int64_t flat = 1;
  for (int i = 0; i < x->ndim(); ++i) {
    if (i < start || i > end)
      shape.push_back(x->shape[i]);
    else if (flat *= x->shape[i]; i == end)
      shape.push_back(flat);
  }
  return reshape(x, shape);
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  const int at = normalize_dim("unsqueeze", dim, x->ndim() + 1);
  Dims shape = x->shape;
  shape.insert(at, 1);
  return reshape(x, shape);
}

Tensor squeeze(const Tensor& x, std::optional<int64_t> dim) {
  const int only = dim ? normalize_dim("squeeze", *dim, x->ndim()) : -1;
  Dims shape;
  for (int i = 0; i < x->ndim(); ++i)
    if (x->shape[i] != 1 || (dim && i != only)) shape.push_back(x->shape[i]);
  return reshape(x, shape);
}

// x[.., start : start + size * step : step, ..] along one dimension; `drop` removes it.
Tensor slice(const Tensor& x, int dim, int64_t start, int64_t size, int64_t step, bool drop) {
  Dims shape = x->shape, strides = x->strides;
  const int64_t offset = x->offset + start * strides[dim];
  shape[dim] = size;
  strides[dim] *= step;
  if (drop) {
    shape.erase(dim);
    strides.erase(dim);
  }
  return viewed("slice", x, alias(x, shape, strides, offset), [=, from = x->shape](const Tensor& dy) {
    const Tensor dx = zeros(from, dy->dtype);
    Dims s = dx->strides;
    const int64_t first = start * s[dim];
    s[dim] *= step;
    if (drop) s.erase(dim);
    copy_into(alias(dx, shape, s, first), dy);
    return dx;
  });
}

// `dim` of x is dimension `axis` of the tensor that is indexed.
Tensor index_one(const Tensor& x, int& dim, int axis, py::handle key) {
  if (PySlice_Check(key.ptr())) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(key.ptr(), &start, &stop, &step) < 0) throw py::error_already_set();
    check(step > 0, "index", "slice step must be positive; got ", step);
    const Py_ssize_t n = PySlice_AdjustIndices(x->shape[dim], &start, &stop, step);
    return slice(x, dim++, start, n, step, false);
  }
  check<TypeError>(PyIndex_Check(key.ptr()) && !PyBool_Check(key.ptr()), "index",
                   "expected an int, a slice or an integer array; got ", std::string(py::str(py::type::of(key))));
  const Py_ssize_t i = PyNumber_AsSsize_t(key.ptr(), PyExc_IndexError);
  if (i == -1 && PyErr_Occurred()) throw py::error_already_set();
  const int64_t n = x->shape[dim];
  check<IndexError>(i >= -n && i < n, "index", i, " is out of range for dimension ", axis, " of size ", n);
  return slice(x, dim, i < 0 ? i + n : i, 1, 1, true);
}

// Ints and slices, one a dimension from the first on.
Tensor index_view(const Tensor& x, py::handle key) {
  const py::tuple keys = py::isinstance<py::tuple>(key) ? py::reinterpret_borrow<py::tuple>(key) : py::make_tuple(key);
  check<IndexError>(static_cast<int>(keys.size()) <= x->ndim(), "index", keys.size(), " indices for a tensor of ",
                    x->ndim(), " dimensions");
  Tensor y = x;
  int dim = 0, axis = 0;
  for (py::handle k : keys) y = index_one(y, dim, axis++, k);
  return y;
}

bool is_array(py::handle key) {
  return py::isinstance<TensorImpl>(key) || py::isinstance<py::array>(key) || py::isinstance<py::list>(key);
}

py::object getitem(py::handle self, py::handle key) {
  if (is_array(key)) {
    const Tensor x = self.cast<Tensor>();
    const DeviceGuard guard(x->device());
    const bool list = py::isinstance<py::list>(key);  // whose numbers are constants
    if (py::isinstance<py::array>(key)) refuse_while_recording("an array that is used as an index");
    const Tensor index =
        list ? constant("getitem", py::module_::import("numpy").attr("asarray")(key)) : key.cast<Tensor>();
    return py::cast(index_select(x, 0, on_device(index, x->device())));
  }
  return py::cast(index_view(self.cast<Tensor>(), key));
}

void setitem(const Tensor& x, py::handle key, const Operand& value) {
  check<TypeError>(!is_array(key), "setitem", "expected ints and slices; got an array");
  const Tensor target = index_view(alias(x), key);
  Tensor v;
  if (const Scalar* s = std::get_if<Scalar>(&value)) {
    check<TypeError>(is_floating(x->dtype) || !s->is_float, "setitem", "a float cannot be put into a tensor of dtype ",
                     name(x->dtype));
    v = scalar_tensor("setitem", *s, x->dtype);
  } else {
    v = std::get<Tensor>(value);
    check<TypeError>(promote(x->dtype, v->dtype) == x->dtype, "setitem", "a value of dtype ", name(v->dtype),
                     " cannot be put into a tensor of dtype ", name(x->dtype));
    v = cast("setitem", v, x->dtype);
  }
  check(broadcast_shapes("setitem", target->shape, v->shape) == target->shape, "setitem", "a value of shape ", v->shape,
        " does not fit ", target->shape);
  begin_in_place("setitem", x);
  copy_into(target, overlaps(*target, *v) ? clone(v) : v);
}

}  // namespace

Tensor reshape(const Tensor& x, Dims shape) {
  shape = resolve("reshape", x, shape);
  return viewed("reshape", x, reshape_no_tape(x, shape),
                [from = x->shape](const Tensor& dy) { return reshape_no_tape(dy, from); });
}

Tensor expand(const Tensor& x, Dims shape) {
  const int lead = shape.size() - x->ndim();
  check(lead >= 0, "expand", "cannot expand shape ", x->shape, " to ", shape);
  for (int i = 0; i < shape.size(); ++i)
    if (shape[i] == -1 && i >= lead) shape[i] = x->shape[i - lead];
  for (int64_t s : shape) check(s >= 0, "expand", "cannot expand shape ", x->shape, " to ", shape);
  checked_numel("expand", shape, itemsize(x->dtype));
  check(broadcast_shapes("expand", x->shape, shape) == shape, "expand", "cannot expand shape ", x->shape, " to ",
        shape);
  return viewed("expand", x, alias(x, shape, broadcast_strides(*x, shape), x->offset),
                [from = x->shape](const Tensor& dy) { return sum_to(dy, from); });
}

Tensor permute(const Tensor& x, const Dims& order) {
  check(order.size() == x->ndim(), "permute", "expected ", x->ndim(), " dims; got ", order);
  Dims shape, strides, inverse = order;
  bool used[kMaxDims] = {};
  for (int i = 0; i < order.size(); ++i) {
    const int d = normalize_dim("permute", order[i], x->ndim());
    check(!used[d], "permute", "dim ", order[i], " is given twice");
    used[d] = true;
    shape.push_back(x->shape[d]);
    strides.push_back(x->strides[d]);
    inverse[d] = i;
  }
  return viewed("permute", x, alias(x, shape, strides, x->offset),
                [inverse](const Tensor& dy) { return permute(dy, inverse); });
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  const int a = normalize_dim("transpose", dim0, x->ndim()), b = normalize_dim("transpose", dim1, x->ndim());
  Dims order;
  for (int i = 0; i < x->ndim(); ++i) order.push_back(i == a ? b : i == b ? a : i);
  return permute(x, order);
}

void bind_view(Module& m) {
  TensorClass cls(m.attr("Tensor"));
  cls.def(
      "reshape", [](const Tensor& x, const py::args& shape) { return reshape(x, sizes("reshape", shape)); },
      "Same elements, new shape (one size may be -1); a view where strides allow, else a copy.");
  cls.def(
      "view", [](const Tensor& x, const py::args& shape) { return view(x, sizes("view", shape)); },
      "As reshape, but raises a ValueError where a copy would be needed.");
  cls.def(
      "view_as", [](const Tensor& x, const Tensor& other) { return view(x, other->shape); }, required("other"),
      "A view in the shape of other.");
  cls.def(
      "permute", [](const Tensor& x, const py::args& order) { return permute(x, sizes("permute", order)); },
      "A view with the dimensions in another order.");
  cls.def(
      "expand", [](const Tensor& x, const py::args& shape) { return expand(x, sizes("expand", shape)); },
      "A view that repeats dimensions of size 1; -1 keeps a size.");
  cls.def_property_readonly("T", [](const Tensor& x) {
    check(x->ndim() == 2, "T", "needs a 2-d tensor; got shape ", x->shape);
    return transpose(x, 0, 1);
  });
  cls.def("__getitem__", &getitem);
  cls.def("__setitem__", &setitem, py::arg("index"), py::arg("value"));
  cls.def("contiguous", &contiguous, py::arg("memory_format") = MemoryFormat::contiguous, ReleaseGil(),
          "The same values laid out in memory_format: the tensor itself if they are, else a copy.");
  m.def("reshape", &reshape, required("input"), py::arg("shape"), "See Tensor.reshape.");
  def_op(m, "transpose", &transpose, "A view with two dimensions swapped.", py::arg("dim0"), py::arg("dim1"));
  def_op(m, "flatten", &flatten, "Dimensions start_dim to end_dim (both included) as one.", py::arg("start_dim") = 0,
         py::arg("end_dim") = -1);
  def_op(m, "unsqueeze", &unsqueeze, "A view with a dimension of size 1 put in at dim.", py::arg("dim"));
  def_op(m, "squeeze", &squeeze, "A view without the dimension dim if its size is 1; without all such when None.",
         py::arg("dim") = py::none());
}

}  // namespace fnn
