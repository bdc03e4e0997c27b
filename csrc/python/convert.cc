#include "python/convert.h"

#include <cstring>

#include "ops/copy/op.h"

namespace fnn {
namespace {

// Keeps a Python object alive from C++, whichever thread lets go of it.
std::shared_ptr<void> held_by(void* data, py::object owner) {
  return std::shared_ptr<void>(data, [o = owner.release().ptr()](void*) {
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire gil;
    Py_DECREF(o);
  });
}

DType dtype_of_array(const char* op, const py::array& array) {
  const py::dtype d = array.dtype();
  const char kind = d.kind();
  const auto size = static_cast<size_t>(d.itemsize());
  if (kind == 'b') return DType::b8;
  if (kind == 'f' && size == 4) return DType::f32;
  if (kind == 'f' && size == 8) return DType::f64;
  if (kind == 'i' && size == 8) return DType::i64;
  if (kind == 'i' && size == 4) return DType::i32;
  if (kind == 'u' && size == 1) return DType::u8;
  fail<TypeError>(op, "an array of dtype ", std::string(py::str(d)),
                  " is not supported; use float32, float64, int64, int32, uint8 or bool");
}

// Empty when the memory can be used as it is.
std::string obstacle(const py::array& array) {
  if (!array.dtype().attr("isnative").cast<bool>()) return "its bytes are in another order than this machine's";
  const auto item = array.itemsize();
  if (reinterpret_cast<uintptr_t>(array.data()) % static_cast<size_t>(item) != 0) return "its memory is misaligned";
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    if (array.strides(i) % item != 0) return "its strides are no multiple of its item size";
  return {};
}

Tensor wrap(const char* op, const py::array& array) {
  refuse_while_recording("an array that is made into a tensor");
  auto t = std::make_shared<TensorImpl>();
  t->dtype = dtype_of_array(op, array);
  check(array.ndim() <= kMaxDims, op, "at most ", kMaxDims, " dimensions are supported; got ", array.ndim());
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    t->shape.push_back(array.shape(i));
    t->strides.push_back(array.strides(i) / array.itemsize());
  }
  t->storage = std::make_shared<Storage>();
  t->storage->data = held_by(const_cast<void*>(array.data()), array);
  t->storage->bytes = static_cast<size_t>(array.nbytes());
  t->storage->writable = array.writeable();
  return t;
}

// The structures of DLPack 0.x, https://dmlc.github.io/dlpack/latest/c_api.html
struct DLDevice {
  int32_t type;  // 1 is the CPU
  int32_t id;
};
struct DLDataType {
  uint8_t code;  // 0 int, 1 unsigned, 2 float, 6 bool
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

constexpr DLDataType kDlTypes[kDTypes] = {{6, 8, 1}, {1, 8, 1}, {0, 32, 1}, {0, 64, 1}, {2, 32, 1}, {2, 64, 1}};

}  // namespace

Tensor from_numpy(const char* op, const py::array& array) {
  dtype_of_array(op, array);
  const std::string why = obstacle(array);
  check(why.empty(), op, "cannot share the array's memory: ", why);
  return wrap(op, array);
}

Tensor from_numpy_or_copy(const char* op, const py::array& array) {
  dtype_of_array(op, array);
  if (obstacle(array).empty()) return wrap(op, array);
  const py::object native = array.dtype().attr("newbyteorder")("=");
  return wrap(op, array.attr("astype")(native, py::arg("copy") = true).cast<py::array>());
}

Tensor constant(const char* op, const py::array& array) {
  Dims shape;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) shape.push_back(array.shape(i));
  Tensor t = empty(shape, dtype_of_array(op, array));
  std::memcpy(t->raw(), array.data(), static_cast<size_t>(array.nbytes()));
  if (observer) observer->filled(*t);
  return t;
}

py::array to_numpy(const Tensor& x) {
  refuse_while_recording("numpy(): the values of a tensor");
  check<RuntimeError>(!x->requires_grad, "numpy", "a tensor that requires a gradient has none: use detach().numpy()");
  std::vector<py::ssize_t> shape, strides;
  for (int i = 0; i < x->ndim(); ++i) {
    shape.push_back(x->shape[i]);
    strides.push_back(x->strides[i] * static_cast<py::ssize_t>(itemsize(x->dtype)));
  }
  py::array out(py::dtype(std::string(name(x->dtype))), shape, strides, x->raw(), py::cast(x));
  if (!x->storage->writable) out.attr("flags").attr("writeable") = false;
  return out;
}

py::capsule to_dlpack(const Tensor& x) {
  refuse_while_recording("__dlpack__(): the values of a tensor");
  check<RuntimeError>(!x->requires_grad, "__dlpack__",
                      "a tensor that requires a gradient cannot be exported: use detach()");
  check(x->storage->writable, "__dlpack__", "read-only memory cannot be exported");
  struct Export {
    DLManagedTensor managed;
    Tensor tensor;
  };
  auto* e = new Export{{}, x};
  TensorImpl& t = *e->tensor;
  e->managed = {{t.raw(), {1, 0}, t.ndim(), kDlTypes[static_cast<int>(t.dtype)], &t.shape[0], &t.strides[0], 0},
                e,
                [](DLManagedTensor* m) { delete static_cast<Export*>(m->context); }};
  return py::capsule(&e->managed, "dltensor", [](PyObject* capsule) {
    // A consumer renames the capsule and calls the deleter itself.
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  });
}

Tensor from_dlpack(const py::object& source) {
  refuse_while_recording("from_dlpack()");
  check<TypeError>(py::hasattr(source, "__dlpack__"), "from_dlpack", "expected an object with __dlpack__; got ",
                   std::string(py::str(py::type::of(source))));
  if (py::hasattr(source, "__dlpack_device__")) {
    const auto device = source.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    check(device.first == 1, "from_dlpack", "only CPU memory can be imported; got device type ", device.first);
  }
  py::object capsule = source.attr("__dlpack__")();
  auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (!m) throw py::error_already_set();
  const DLTensor& d = m->tensor;
  auto t = std::make_shared<TensorImpl>();
  bool known = false;
  for (int i = 0; i < kDTypes; ++i)
    if (kDlTypes[i].code == d.dtype.code && kDlTypes[i].bits == d.dtype.bits && d.dtype.lanes == 1) {
      t->dtype = static_cast<DType>(i);
      known = true;
    }
  check<TypeError>(known, "from_dlpack", "element type (code ", int(d.dtype.code), ", ", int(d.dtype.bits),
                   " bits) is not supported");
  for (int i = 0; i < d.ndim; ++i) t->shape.push_back(d.shape[i]);
  t->strides = contiguous_strides(t->shape);
  if (d.strides)
    for (int i = 0; i < d.ndim; ++i) t->strides[i] = d.strides[i];
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  t->storage = std::make_shared<Storage>();
  t->storage->data = std::shared_ptr<void>(static_cast<char*>(d.data) + d.byte_offset, [m](void*) {
    if (!m->deleter || !Py_IsInitialized()) return;
    const py::gil_scoped_acquire gil;  // the owner may be a Python object
    m->deleter(m);
  });
  t->storage->bytes = static_cast<size_t>(t->numel()) * itemsize(t->dtype);
  return t;
}

void bind_convert(py::module_& m) {
  m.def(
      "from_numpy", [](const py::array& a) { return from_numpy("from_numpy", a); }, py::arg("array").noconvert(),
      "A tensor that shares the array's memory. Raises a TypeError for an element type other than float32, "
      "float64, int64, int32, uint8, bool, and a ValueError for misaligned or byte-swapped memory.");
  m.def("from_dlpack", &from_dlpack, py::arg("source"),
        "A tensor that shares the memory of any object with __dlpack__ (NumPy, PyTorch, JAX, ...).");
}

}  // namespace fnn
