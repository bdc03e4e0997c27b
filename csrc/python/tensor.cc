// The Tensor class as Python sees it; operations add their own methods (ops/*/bind.cc).
#include "autograd/tape.h"
#include "ops/copy/op.h"
#include "plan/plan.h"
#include "python/convert.h"

namespace fnn {
namespace {

py::object item(const Tensor& x) {
  refuse_while_recording("item(): the value of a tensor");
  check(x->numel() == 1, "item", "needs a tensor of one element; got shape ", x->shape);
  return visit_all(x->dtype, [&]<class T>() {
    T value;
    read(*x, &value);
    return py::object(py::cast(value));
  });
}

void set_requires_grad(const Tensor& x, bool on) {
  check<TypeError>(!on || is_floating(x->dtype), "requires_grad", "only float tensors can require a gradient; got ",
                   name(x->dtype));
  check<RuntimeError>(on || x->is_leaf() || !x->requires_grad, "requires_grad",
                      "can only be turned off on a leaf; use detach()");
  if (x->requires_grad == on) return;
  x->requires_grad = on;
  if (x->is_leaf()) forget_plans();
}

void set_grad(const Tensor& x, const Tensor& grad) {
  if (grad) {
    check(grad->shape == x->shape, "grad", "expected shape ", x->shape, "; got ", grad->shape);
    check<TypeError>(grad->dtype == x->dtype, "grad", "expected dtype ", name(x->dtype), "; got ", name(grad->dtype));
    check(grad->device() == x->device(), "grad", "expected it on ", name(x->device()), "; got it on ",
          name(grad->device()));
  }
  if (observer && x->grad != grad) observer->grad(x, !grad);
  x->grad = grad;
}

void set_data(const Tensor& x, const Tensor& values) {
  check(values != nullptr, "data", "expected a Tensor; got None");
  refuse_while_recording("assigning .data");
  forget_plans();
  check<RuntimeError>(x->is_leaf() || !x->requires_grad, "data", "can only be set on a leaf");
  check<TypeError>(!x->requires_grad || is_floating(values->dtype), "data",
                   "a tensor that requires a gradient must be float; got ", name(values->dtype));
  x->storage = values->storage;
  x->offset = values->offset;
  x->shape = values->shape;
  x->strides = values->strides;
  x->dtype = values->dtype;
  x->grad = nullptr;
}

Tensor copy_(const Tensor& y, const Tensor& x) {
  const DeviceGuard source(x->device());
  check(broadcast_shapes("copy_", y->shape, x->shape) == y->shape, "copy_", "shape ", x->shape, " does not fit ",
        y->shape);
  check<TypeError>(promote(y->dtype, x->dtype) == y->dtype, "copy_", "would cast ", name(x->dtype), " down to ",
                   name(y->dtype), "; convert it first");
  begin_in_place("copy_", y);
  const Tensor v = on_device(cast("copy_", x, y->dtype), y->device());
  const DeviceGuard target(y->device());
  copy_into(y, overlaps(*y, *v) ? clone(v) : v);
  return y;
}

Tensor fill_(const Tensor& x, const Scalar& value) {
  check<TypeError>(is_floating(x->dtype) || !value.is_float, "fill_", "a float cannot fill a tensor of dtype ",
                   name(x->dtype));
  const Tensor v = scalar_tensor("fill_", value, x->dtype);
  begin_in_place("fill_", x, true);
  copy_into(x, v);
  return x;
}

bool is_device_name(const py::object& x) {
  if (!py::isinstance<py::str>(x)) return false;
  const std::string name = x.cast<std::string>();
  return std::none_of(std::begin(kDTypeInfo), std::end(kDTypeInfo),
                      [&](const DTypeInfo& type) { return name == type.name; });
}

Tensor to_dtype_or_device(const Tensor& x, const py::object& target, std::optional<DType> dtype,
                          const py::object& device) {
  py::object type = target, place = device;
  if (py::hasattr(target, "type_name") || is_device_name(target)) {
    place = target;
    type = py::none();
  }
  if (!type.is_none()) dtype = parse_dtype(type);
  const Device wanted = place.is_none() ? x->device() : parse_device("to", py::str(place));
  return to(dtype ? to("to", x, *dtype) : x, wanted);
}

}  // namespace

void bind_tensor(Module& m) {
  py::enum_<MemoryFormat>(m, "memory_format")
      .value("contiguous_format", MemoryFormat::contiguous)
      .value("channels_last", MemoryFormat::channels_last)
      .export_values();

  TensorClass cls(m, "Tensor", "An n-dimensional array of one element type that gradients flow through.");
  cls.def(py::init([](const Tensor& x) { return alias(x); }), required("data"),
          "A tensor that shares the memory of data.");
  cls.def(py::init([](const py::array& a) { return from_numpy_or_copy("tensor", a); }), py::arg("data"));
  py::implicitly_convertible<py::array, TensorImpl>();

  cls.def_property_readonly("shape", [](const TensorImpl& x) { return x.shape; }, "Sizes, a tuple of ints.");
  cls.def_property_readonly("ndim", &TensorImpl::ndim, "Number of dimensions.");
  cls.def_property_readonly("dtype", [](const TensorImpl& x) { return x.dtype; }, "Element type.");
  cls.def_property_readonly("is_leaf", &TensorImpl::is_leaf, "Whether the user made it, not an operation.");
  cls.def_property(
      "data", [](const Tensor& x) { return alias(x); }, &set_data,
      "The values, off the tape; assigning replaces memory, shape and dtype of this very tensor.");
  cls.def_property(
      "requires_grad", [](const TensorImpl& x) { return x.requires_grad; }, &set_requires_grad,
      "Whether backward() computes a gradient for it.");
  cls.def_property(
      "grad",
      [](const Tensor& x) {
        if (observer) observer->grad(x, false);
        return x->grad;
      },
      &set_grad, "Gradient accumulated by backward(), or None.");
  m.def("clear_grads", any_device([](const std::vector<Tensor>& tensors) {
          for (const Tensor& t : tensors) {
            check(t != nullptr, "clear_grads", "expected Tensors; got None");
            if (observer) observer->grad(t, true);
            t->grad = nullptr;
          }
        }),
        py::arg("tensors"), "Sets .grad of every tensor to None.");
  cls.def(
      "requires_grad_",
      [](const Tensor& x, bool on) {
        set_requires_grad(x, on);
        return x;
      },
      py::arg("requires_grad") = true, "Sets requires_grad and returns the tensor.");
  cls.def_property_readonly("_gpu", [](const TensorImpl& x) { return x.device().gpu; }, "Its number; -1 for the CPU.");
  cls.def("numel", &TensorImpl::numel, "Number of elements.");
  cls.def("stride", [](const TensorImpl& x) { return x.strides; }, "Elements between neighbours, by dimension.");
  cls.def(
      "data_ptr",
      [](const TensorImpl& x) {
        x.storage->shared = true;
        return reinterpret_cast<uintptr_t>(x.raw());
      },
      "Address of the first element.");
  cls.def(
      "is_contiguous",
      [](const TensorImpl& x, MemoryFormat f) {
        return f == MemoryFormat::contiguous ? is_contiguous(x) : is_channels_last(x);
      },
      py::arg("memory_format") = MemoryFormat::contiguous, "Whether the memory has that layout.");
  cls.def("item", &item, "The only element as a Python number.");
  cls.def("numpy", &to_numpy, "A NumPy array that shares the memory.");
  cls.def(
      "__array__",
      [](const Tensor& x, const py::object& dtype, const py::object& copy) {
        py::array a = to_numpy(x);
        const bool cast = !dtype.is_none() && !a.dtype().equal(dtype);
        if (!cast && (copy.is_none() || !copy.cast<bool>())) return a;
        check(copy.is_none() || copy.cast<bool>(), "__array__", "another dtype needs a copy");
        return a.attr("astype")(dtype.is_none() ? py::object(a.dtype()) : dtype).cast<py::array>();
      },
      py::arg("dtype") = py::none(), py::arg("copy") = py::none());
  cls.def("detach", [](const Tensor& x) { return alias(x); }, "The same memory, off the tape.");
  cls.def(
      "clone",
      [](const Tensor& x) {
        return record("clone", {&x}, clone(x), [] { return [](const Tensor& dy, Grads& dx) { dx[0] = dy; }; });
      },
      ReleaseGil(), "A copy.");
  cls.def("copy_", any_device(&copy_), required("src"), ReleaseGil(),
          "Overwrites the values, in place; src broadcasts, and is never cast down.");
  cls.def("fill_", &fill_, py::arg("value"), ReleaseGil(), "Sets every element, in place.");
  cls.def("zero_", [](const Tensor& x) { return fill_(x, Scalar{}); }, ReleaseGil(), "Sets every element to 0.");
  cls.def("to", &to_dtype_or_device, py::arg("target") = py::none(), py::kw_only(), py::arg("dtype") = py::none(),
          py::arg("device") = py::none(), "The tensor in another dtype or on another device; itself if it is so.");
  cls.def(
      "backward",
      [](const Tensor& x, const Tensor& gradient, bool retain_graph) { backward(x, gradient, retain_graph); },
      py::arg("gradient") = py::none(), py::arg("retain_graph") = false, ReleaseGil(),
      "Adds d(self)/d(leaf), weighted by gradient (1 for a scalar), into the .grad of every leaf.");
}

}  // namespace fnn
