// How Python values become the arguments of an operation.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/scalar.h"
#include "core/tensor.h"
#include "python/boundary.h"

namespace fnn {

using ReleaseGil = py::call_guard<py::gil_scoped_release>;

// An int or a pair of ints, as kernel_size, stride and the like are given.
struct Pair {
  int64_t h = 0, w = 0;
  static Pair both(int64_t v) { return {v, v}; }
  bool operator==(const Pair&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Pair& p) { return out << '(' << p.h << ", " << p.w << ')'; }

// Any object that names an element type: fastnn.float32, numpy.float32, "float32".
DType parse_dtype(py::handle object);
py::object dtype_object(DType dtype);
// "cpu", "cuda:0" or a device object; None stands for the default device.
Device device_of(const char* op, py::handle device);

// Numbers that say how a window slides: bounded, so that sizes computed from them cannot overflow.
inline void check_window(const char* op, const char* arg, Pair value, int64_t least) {
  for (const int64_t v : {value.h, value.w})
    check(v >= least && v < (int64_t{1} << 31), op, arg, " must be at least ", least, " and below 2^31; got ", value);
}

// Sizes given as one tuple or as separate ints.
Dims sizes(const char* op, const py::args& args);

// An argument that None does not stand for.
inline py::arg required(const char* name) { return py::arg(name).none(false); }

// Defines fastnn._C.<name>(input, ...) and the method Tensor.<name>(...) at once.
template <class F, class... Extra>
void def_op(Module& m, const char* name, F&& f, const char* doc, const Extra&... extra) {
  m.def(name, f, doc, required("input"), extra..., ReleaseGil());
  TensorClass cls(m.attr("Tensor"));
  cls.def(name, f, doc, extra..., ReleaseGil());
}

}  // namespace fnn

namespace pybind11::detail {

// False for what is no integer, or none of 64 bits.
inline bool to_int64(handle h, int64_t& value) {
  if (!PyIndex_Check(h.ptr())) return false;
  value = PyNumber_AsSsize_t(h.ptr(), PyExc_OverflowError);
  if (value != -1 || !PyErr_Occurred()) return true;
  PyErr_Clear();
  return false;
}

inline bool is_number(handle h) {
  return PyFloat_Check(h.ptr()) || PyLong_Check(h.ptr()) ||
         (!isinstance<array>(h) && !isinstance<fnn::TensorImpl>(h) && !PyComplex_Check(h.ptr()) &&
          (PyIndex_Check(h.ptr()) || (hasattr(h, "dtype") && hasattr(h, "__float__") && hasattr(h, "item"))));
}

template <>
struct type_caster<fnn::Scalar> {
  PYBIND11_TYPE_CASTER(fnn::Scalar, const_name("float"));
  bool load(handle src, bool) {
    if (!src || !is_number(src)) return false;
    object held = reinterpret_borrow<object>(src);
    if (!PyFloat_Check(src.ptr()) && !PyLong_Check(src.ptr())) held = src.attr("item")();
    if (PyFloat_Check(held.ptr())) {
      value = {PyFloat_AS_DOUBLE(held.ptr()), 0, true};
      return true;
    }
    if (!PyLong_Check(held.ptr())) return false;
    int overflow = 0;
    const int64_t i = PyLong_AsLongLongAndOverflow(held.ptr(), &overflow);
    if (overflow) throw fnn::ValueError("[scalar] an integer beyond 64 bits: " + std::string(str(held)));
    value = {static_cast<double>(i), i, false};
    return true;
  }
  static handle cast(const fnn::Scalar& s, return_value_policy, handle) {
    return (s.is_float ? object(float_(s.value)) : object(int_(s.integer))).release();
  }
};

template <>
struct type_caster<fnn::Operand> {
  PYBIND11_TYPE_CASTER(fnn::Operand, const_name("Tensor | float"));
  bool load(handle src, bool convert) {
    make_caster<fnn::Tensor> tensor;
    if (isinstance<fnn::TensorImpl>(src) && tensor.load(src, false)) {
      value = cast_op<fnn::Tensor&>(tensor);
      return true;
    }
    make_caster<fnn::Scalar> scalar;
    if (scalar.load(src, convert)) {
      value = cast_op<fnn::Scalar&>(scalar);
      return true;
    }
    if (!isinstance<array>(src) || !tensor.load(src, true)) return false;
    value = cast_op<fnn::Tensor&>(tensor);
    return true;
  }
};

template <>
struct type_caster<fnn::Dims> {
  PYBIND11_TYPE_CASTER(fnn::Dims, const_name("int | tuple[int, ...]"));
  bool load(handle src, bool) {
    value = fnn::Dims();
    int64_t size;
    if (!PySequence_Check(src.ptr())) {
      if (!to_int64(src, size)) return false;
      value.push_back(size);
      return true;
    }
    if (PyUnicode_Check(src.ptr())) return false;
    for (handle item : reinterpret_borrow<sequence>(src)) {
      if (!to_int64(item, size)) return false;
      value.push_back(size);
    }
    return true;
  }
  static handle cast(const fnn::Dims& d, return_value_policy, handle) {
    tuple t(d.size());
    for (int i = 0; i < d.size(); ++i) t[i] = int_(d[i]);
    return t.release();
  }
};

template <>
struct type_caster<fnn::Pair> {
  PYBIND11_TYPE_CASTER(fnn::Pair, const_name("int | tuple[int, int]"));
  bool load(handle src, bool) {
    if (PyBool_Check(src.ptr()) || PyUnicode_Check(src.ptr())) return false;
    if (!PySequence_Check(src.ptr())) {
      value.w = 0;
      if (!to_int64(src, value.h)) return false;
      value.w = value.h;
      return true;
    }
    const auto items = reinterpret_borrow<sequence>(src);
    const size_t n = items.size();
    return n >= 1 && n <= 2 && to_int64(object(items[0]), value.h) && to_int64(object(items[n - 1]), value.w);
  }
  static handle cast(const fnn::Pair& p, return_value_policy, handle) { return make_tuple(p.h, p.w).release(); }
};

template <>
struct type_caster<fnn::DType> {
  PYBIND11_TYPE_CASTER(fnn::DType, const_name("dtype"));
  bool load(handle src, bool) {
    if (!src || src.is_none()) return false;
    value = fnn::parse_dtype(src);
    return true;
  }
  static handle cast(fnn::DType d, return_value_policy, handle) { return fnn::dtype_object(d).release(); }
};

}  // namespace pybind11::detail
