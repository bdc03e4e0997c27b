// The extension module fastnn._C.
#include <sstream>

#include "autograd/tape.h"
#include "core/threads.h"
#include "isa/isa.h"
#include "isa/kernels.h"
#include "python/convert.h"

namespace fnn {

#define FNN_BIND(op) void bind_##op(Module&);
#include "fnn_bind.inc"  // generated: a row for every ops/*/bind.cc
#undef FNN_BIND

namespace {

template <class Error>
void register_error(PyObject* python) {
  static PyObject* target = nullptr;
  target = python;
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      PyErr_SetString(target, e.what());
    }
  });
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
#define FNN_KERNEL(name, Args, ...) names.push_back(#name);
#include "fnn_kernels.inc"
#undef FNN_KERNEL
  return names;
}

}  // namespace

DType parse_dtype(py::handle object) {
  if (py::isinstance<DTypeInfo>(object)) return static_cast<DType>(object.cast<const DTypeInfo*>() - kDTypeInfo);
  std::string asked;
  try {
    asked = py::module_::import("numpy").attr("dtype")(object).attr("name").cast<std::string>();
  } catch (py::error_already_set&) {
    asked = py::str(object);
  }
  for (int i = 0; i < kDTypes; ++i)
    if (asked == kDTypeInfo[i].name) return static_cast<DType>(i);
  fail<TypeError>("dtype", "expected float32, float64, int64, int32, uint8 or bool; got ", asked);
}

py::object dtype_object(DType t) {
  return py::cast(&kDTypeInfo[static_cast<int>(t)], py::return_value_policy::reference);
}

Device device_of(const char* op, py::handle device) {
  return device.is_none() ? default_device() : parse_device(op, py::str(device));
}

}  // namespace fnn

PYBIND11_MODULE(_C, module) {
  using namespace fnn;
  Module m(module);
  register_error<ValueError>(PyExc_ValueError);
  register_error<TypeError>(PyExc_TypeError);
  register_error<IndexError>(PyExc_IndexError);
  register_error<RuntimeError>(PyExc_RuntimeError);

  m.attr("OutOfMemoryError") = py::handle(PyErr_NewExceptionWithDoc(
      "fastnn.cuda.OutOfMemoryError", "Memory ran out on a GPU.", PyExc_RuntimeError, nullptr));
  register_error<OutOfMemoryError>(m.attr("OutOfMemoryError").ptr());

  choose_isa();

  py::class_<DTypeInfo, std::unique_ptr<DTypeInfo, py::nodelete>>(m, "dtype", "An element type.")
      .def_readonly("name", &DTypeInfo::name)
      .def_readonly("itemsize", &DTypeInfo::size)
      .def("__repr__", [](const DTypeInfo& d) { return std::string("fastnn.") + d.name; })
      .def("__reduce__", [](const DTypeInfo& d) { return d.name; });  // a name in this module
  for (int i = 0; i < kDTypes; ++i) m.attr(kDTypeInfo[i].name) = dtype_object(static_cast<DType>(i));

  bind_tensor(m);
  bind_plan(m);
  bind_convert(m);
  bind_factories(m);
  bind_exchange(m);
  bind_cuda(m);
#define FNN_BIND(op) bind_##op(m);
#include "fnn_bind.inc"
#undef FNN_BIND

  m.def("is_grad_enabled", &grad_enabled, "Whether operations are put on the tape.");
  m.def("set_grad_enabled", &set_grad_enabled, py::arg("enabled"), "Turns the tape of this thread on or off.");
  m.def("get_num_threads", &num_threads, "Threads that one operation may use.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"),
        "Sets how many threads one operation may use, this one included.");
  m.def("kernel_names", &kernel_names, "Every row of the kernel tables.");
  m.def("config", [] {
    py::dict d;
    d["version"] = FNN_VERSION;
    d["compiler"] = FNN_COMPILER;
    d["isa"] = chosen_isa().name;
    py::list found;
    for (const Isa& isa : instruction_sets())
      if (isa.available) found.append(isa.name);
    d["isa_found"] = found;
    d["bf16"] = chosen_isa().bf16;
    d["threads"] = num_threads();
    d["threads_reason"] = num_threads_reason();
    d["cuda"] = cuda_is_built() ? "built" : "not built";
    return d;
  });
}
