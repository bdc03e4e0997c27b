// Functions that make tensors.
#include "ops/copy/op.h"
#include "python/convert.h"

#include <cmath>

namespace fnn {
namespace {

Tensor finish(const Tensor& t, bool requires_grad) {
  check<TypeError>(!requires_grad || is_floating(t->dtype), "requires_grad",
                   "only float tensors can require a gradient; got ", name(t->dtype));
  t->requires_grad = requires_grad;
  return t;
}

// Nested lists that are no array raise NumPy's words with ours.
py::array as_array(const py::object& data) {
  try {
    return py::module_::import("numpy").attr("asarray")(data);
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_ValueError)) throw;
    fail("tensor", std::string(py::str(e.value())));
  }
}

Tensor tensor(const py::object& data, std::optional<DType> dtype, const py::object& device, bool requires_grad) {
  Tensor t;
  Device wanted = device_of("tensor", device);
  if (py::isinstance<TensorImpl>(data)) {
    t = data.cast<Tensor>();
    if (device.is_none()) wanted = t->device();
  } else if (!py::isinstance<py::array>(data) && py::hasattr(data, "__cuda_array_interface__")) {
    t = from_cuda_array(data);
  } else {
    const bool array = py::isinstance<py::array>(data) || py::hasattr(data, "__array__");
    py::array a = as_array(data);
    // Python floats are float32, as in PyTorch; NumPy's keep the type they were given.
    if (!array && a.dtype().kind() == 'f' && !dtype) dtype = DType::f32;
    if (!array && a.size() == 0 && !dtype) dtype = DType::f32;
    t = from_numpy_or_copy("tensor", a);
  }
  const DeviceGuard guard(t->device());
  Tensor y = as_contiguous(cast("tensor", t, dtype.value_or(t->dtype)));
  y = wanted == t->device() && y->storage == t->storage ? clone(y) : on_device(y, wanted);
  return finish(y, requires_grad);
}

Tensor arange(const Scalar& first, const std::optional<Scalar>& last, const Scalar& step, std::optional<DType> dtype,
              const py::object& device, bool requires_grad) {
  const DeviceGuard guard(device_of("arange", device));
  const Scalar start = last ? first : Scalar{}, end = last ? *last : first;
  check(step.value != 0 && std::isfinite(step.value), "arange", "step must be finite and not 0; got ", step.value);
  const bool floating = start.is_float || end.is_float || step.is_float;
  const double span = std::ceil((end.value - start.value) / step.value);
  check(std::isfinite(span) && span >= 0 && span < 0x1p53, "arange", "cannot count from ", start.value, " to ",
        end.value, " by ", step.value);
  auto n = static_cast<int64_t>(span);
  if (!floating) {  // exactly, where doubles would not
    const __int128 room = static_cast<__int128>(end.integer) - start.integer;
    n = static_cast<int64_t>((room + step.integer - (step.integer > 0 ? 1 : -1)) / step.integer);
  }
  const DType wanted = dtype.value_or(floating ? DType::f32 : DType::i64);
  const Tensor exact = empty({n}, floating ? DType::f64 : DType::i64);
  const auto count = [&]<class T>(T first, T by) {
    std::vector<T> values(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = first + static_cast<T>(i) * by;
    write(*exact, values.data());
  };
  floating ? count(start.value, step.value) : count(start.integer, step.integer);
  if (observer) observer->filled(*exact);
  return finish(cast("arange", exact, wanted), requires_grad);
}

template <class Fill>
void def_sized(Module& m, const char* name, const char* doc, const Fill& fill) {
  m.def(
      name,
      [name, fill](const py::args& size, std::optional<DType> dtype, const py::object& device, bool requires_grad) {
        const DeviceGuard guard(device_of(name, device));
        const Dims shape = sizes(name, size);
        const DType type = dtype.value_or(DType::f32);
        checked_numel(name, shape, itemsize(type));
        return finish(fill(shape, type), requires_grad);
      },
      doc, py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(),
      py::arg("requires_grad") = false);
}

}  // namespace

Dims sizes(const char* op, const py::args& args) {
  const bool single = args.size() == 1 && !PyIndex_Check(args[0].ptr());
  const py::object given = single ? py::object(args[0]) : py::object(args);
  const bool sequence = PySequence_Check(given.ptr());
  check(!sequence || py::len(given) <= kMaxDims, op, "at most ", kMaxDims, " dimensions are supported; got ",
        sequence ? py::len(given) : 0);
  py::detail::make_caster<Dims> caster;
  check<TypeError>(caster.load(given, true), op, "expected sizes as ints or one tuple of ints; got ",
                   std::string(py::repr(given)));
  return py::detail::cast_op<Dims>(caster);
}

void bind_factories(Module& m) {
  m.def("tensor", &tensor, py::arg("data"), py::kw_only(), py::arg("dtype") = py::none(),
        py::arg("device") = py::none(), py::arg("requires_grad") = false,
        "A new tensor holding a copy of data (numbers, nested lists, an array). Python floats become float32 and "
        "ints int64; arrays keep their type. Raises a TypeError for object, str and complex arrays, and a ValueError "
        "for NaN that is to become an integer.");
  def_sized(m, "empty", "A tensor of the given sizes with whatever was in memory.",
            [](const Dims& s, DType t) { return empty(s, t); });
  def_sized(m, "zeros", "A tensor of zeros.", [](const Dims& s, DType t) { return full(s, t, 0); });
  def_sized(m, "ones", "A tensor of ones.", [](const Dims& s, DType t) { return full(s, t, 1); });
  const auto random = [&](const char* name, const char* method, const char* doc) {
    def_sized(m, name, doc, [name, method](const Dims& s, DType t) {
      check<TypeError>(is_floating(t), name, "dtype must be float32 or float64; got ", fnn::name(t));
      const Tensor x = empty(s, t);
      py::cast(x).attr(method)();
      return x;
    });
  };
  random("rand", "uniform_", "Uniform random numbers in [0, 1).");
  random("randn", "normal_", "Normal random numbers of mean 0 and standard deviation 1.");
  m.def(
      "full",
      [](const Dims& size, const Scalar& value, std::optional<DType> dtype, const py::object& device,
         bool requires_grad) {
        const DeviceGuard guard(device_of("full", device));
        const DType type = dtype.value_or(value.is_float ? DType::f32 : DType::i64);
        checked_numel("full", size, itemsize(type));
        const Tensor one = scalar_tensor("full", value, type);
        const Tensor y = empty(size, type);
        copy_into(y, one);
        return finish(y, requires_grad);
      },
      py::arg("size"), py::arg("fill_value"), py::kw_only(), py::arg("dtype") = py::none(),
      py::arg("device") = py::none(), py::arg("requires_grad") = false,
      "A tensor of one value: float32 for a float, int64 for an int, unless dtype says otherwise.");
  m.def("arange", &arange, py::arg("start"), py::arg("end") = py::none(), py::arg("step") = Scalar{1, 1, false},
        py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("requires_grad") = false,
        "Numbers from start (0 when only one bound is given) up to, not including, end.");
  for (const double value : {0.0, 1.0})
    m.def(
        value == 0 ? "zeros_like" : "ones_like", [value](const Tensor& x) { return full_like(x, value); },
        required("input"), "A tensor of the shape and type of input, filled.");
}

}  // namespace fnn
