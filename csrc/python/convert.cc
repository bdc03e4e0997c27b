#include "python/convert.h"

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
  write(*t, array.data());
  if (observer) observer->filled(*t);
  return t;
}

py::array to_numpy(const Tensor& x) {
  refuse_while_recording("numpy(): the values of a tensor");
  check<TypeError>(is_cpu(x->device()), "numpy", "a tensor on ", name(x->device()),
                   " has no NumPy array: copy it with .cpu() first");
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

void bind_convert(Module& m) {
  m.def(
      "from_numpy", [](const py::array& a) { return from_numpy("from_numpy", a); }, py::arg("array").noconvert(),
      "A tensor that shares the array's memory. Raises a TypeError for an element type other than float32, "
      "float64, int64, int32, uint8, bool, and a ValueError for misaligned or byte-swapped memory.");
}

}  // namespace fnn
