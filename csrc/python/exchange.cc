// Memory shared with other libraries: DLPack, and __cuda_array_interface__ for GPUs. Who takes
// memory of a GPU names the stream that will use it, and who gives it makes that stream wait.
#include <algorithm>
#include <functional>

#include "ops/copy/op.h"
#include "python/convert.h"

namespace fnn {
namespace {

// The structures of DLPack 0.x, https://dmlc.github.io/dlpack/latest/c_api.html
constexpr int kDlCpu = 1, kDlCuda = 2, kDlPinned = 3;  // the last for GPUs to copy from
struct DLDevice {
  int32_t type;
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

constexpr const char* kArrayTypes[kDTypes] = {"|b1", "|u1", "<i4", "<i8", "<f4", "<f8"};

void check_exported(const char* op, const Tensor& x) {
  refuse_while_recording("the memory of a tensor");
  check<RuntimeError>(!x->requires_grad, op, "a tensor that requires a gradient cannot be exported: use detach()");
}

// A stream by the number that other libraries give it: 1 is the default stream.
Stream foreign_stream(const char* op, int gpu, intptr_t handle) {
  check(handle != 0, op, "stream 0 may be one of two default streams: say 1 or 2");
  return {0, {gpu}, handle == 1 ? nullptr : reinterpret_cast<void*>(handle)};
}
intptr_t stream_number(const Stream& s) { return s.native ? reinterpret_cast<intptr_t>(s.native) : 1; }

void wait_unless_same(const Stream& waiter, const Stream& stream) {
  if (waiter.native == stream.native) return;
  on_gpu("stream", [&](const CudaBackend& b) { b.wait(waiter, stream); });
}

py::capsule to_dlpack(const Tensor& given, const py::object& stream, const py::object& dl_device) {
  check_exported("__dlpack__", given);
  check(given->storage->writable, "__dlpack__", "read-only memory cannot be exported");
  const bool to_cpu = !dl_device.is_none() && dl_device.cast<std::pair<int, int>>().first == kDlCpu;
  const Tensor x = to_cpu ? on_device(given, {}) : given;
  const int gpu = x->device().gpu;
  if (gpu >= 0) {
    const intptr_t handle = stream.is_none() ? 1 : stream.cast<intptr_t>();
    if (handle != -1) wait_unless_same(foreign_stream("__dlpack__", gpu, handle), current_stream(gpu));
  }
  struct Export {
    DLManagedTensor managed;
    Tensor tensor;
  };
  auto* e = new Export{{}, x};
  x->storage->shared = true;
  TensorImpl& t = *e->tensor;
  const DLDevice device = gpu < 0 ? DLDevice{kDlCpu, 0} : DLDevice{kDlCuda, gpu};
  e->managed = {{t.raw(), device, t.ndim(), kDlTypes[static_cast<int>(t.dtype)], &t.shape[0], &t.strides[0], 0},
                e,
                [](DLManagedTensor* m) { delete static_cast<Export*>(m->context); }};
  return py::capsule(&e->managed, "dltensor", [](PyObject* capsule) {
    // A consumer renames the capsule and calls the deleter itself.
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  });
}

// Memory that its owner may use again once we let go of it, so our work must be done then.
std::shared_ptr<void> borrowed(void* data, Stream* gpu, std::function<void()> let_go) {
  return std::shared_ptr<void>(data, [gpu, let_go = std::move(let_go)](void*) {
    if (gpu && gpu->native) {
      try {
        synchronize(*gpu);
      } catch (const std::exception&) {  // nothing runs any more
      }
    }
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire gil;  // the owner may be a Python object
    let_go();
  });
}

Tensor from_dlpack(const py::object& source) {
  refuse_while_recording("from_dlpack()");
  check<TypeError>(py::hasattr(source, "__dlpack__"), "from_dlpack", "expected an object with __dlpack__; got ",
                   std::string(py::str(py::type::of(source))));
  std::pair<int, int> device{kDlCpu, 0};
  if (py::hasattr(source, "__dlpack_device__")) device = source.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  check(device.first == kDlCpu || device.first == kDlCuda || device.first == kDlPinned, "from_dlpack",
        "only memory of the CPU and of CUDA can be imported; got device type ", device.first);
  Stream* gpu = device.first == kDlCuda ? &current_stream(device.second) : nullptr;
  py::object capsule =
      gpu ? source.attr("__dlpack__")(py::arg("stream") = stream_number(*gpu)) : source.attr("__dlpack__")();
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
  t->storage->shared = true;
  t->storage->gpu = gpu;
  t->storage->data = borrowed(static_cast<char*>(d.data) + d.byte_offset, gpu, [m] {
    if (m->deleter) m->deleter(m);
  });
  t->storage->bytes = static_cast<size_t>(t->numel()) * itemsize(t->dtype);
  return t;
}

py::dict cuda_array_interface(const Tensor& x) {
  const int gpu = x->device().gpu;
  if (gpu < 0) throw py::attribute_error("[__cuda_array_interface__] the tensor is on the CPU");
  check_exported("__cuda_array_interface__", x);
  const auto item = static_cast<int64_t>(itemsize(x->dtype));
  Dims strides = x->strides;
  for (int i = 0; i < strides.size(); ++i) strides[i] *= item;
  x->storage->shared = true;
  py::dict d;
  d["shape"] = x->shape;
  d["typestr"] = kArrayTypes[static_cast<int>(x->dtype)];
  d["data"] = py::make_tuple(x->numel() == 0 ? 0 : reinterpret_cast<uintptr_t>(x->raw()), !x->storage->writable);
  d["strides"] = is_contiguous(*x) ? py::object(py::none()) : py::cast(strides);
  d["version"] = 3;
  d["stream"] = stream_number(current_stream(gpu));
  return d;
}

}  // namespace

Tensor from_cuda_array(const py::object& source) {
  const char* op = "as_tensor";
  refuse_while_recording("an array of a GPU");
  check<TypeError>(py::hasattr(source, "__cuda_array_interface__"), op,
                   "expected an object with __cuda_array_interface__; got ",
                   std::string(py::str(py::type::of(source))));
  const py::dict d = source.attr("__cuda_array_interface__");
  const auto get = [&](const char* key) { return d.contains(key) ? py::object(d[key]) : py::none(); };
  const auto type = d["typestr"].cast<std::string>();
  const auto [address, read_only] = d["data"].cast<std::pair<uintptr_t, bool>>();
  check(get("mask").is_none(), op, "masked arrays are not supported");
  auto t = std::make_shared<TensorImpl>();
  const auto known =
      std::find_if(std::begin(kArrayTypes), std::end(kArrayTypes), [&](const char* k) { return type == k; });
  check<TypeError>(known != std::end(kArrayTypes), op, "an array of type '", type,
                   "' is not supported; use float32, float64, int64, int32, uint8 or bool");
  t->dtype = static_cast<DType>(known - std::begin(kArrayTypes));
  t->shape = d["shape"].cast<Dims>();
  t->strides = contiguous_strides(t->shape);
  const auto item = static_cast<int64_t>(itemsize(t->dtype));
  if (!get("strides").is_none()) {
    t->strides = get("strides").cast<Dims>();
    check(t->strides.size() == t->ndim(), op, "expected as many strides as dimensions; got ", t->strides);
    for (int i = 0; i < t->ndim(); ++i) {
      check(t->strides[i] % item == 0, op, "its strides are no multiple of its item size");
      t->strides[i] /= item;
    }
  }
  void* data = reinterpret_cast<void*>(address);
  const int gpu = address ? on_gpu(op, [&](const CudaBackend& b) { return b.gpu_of(data); }) : 0;
  check(gpu >= 0, op, "the memory is not that of a GPU");
  Stream& stream = current_stream(gpu);
  if (!get("stream").is_none()) wait_unless_same(stream, foreign_stream(op, gpu, get("stream").cast<intptr_t>()));
  t->storage = std::make_shared<Storage>();
  t->storage->shared = true;
  t->storage->gpu = &stream;
  t->storage->data = borrowed(data, &stream, [owner = py::object(source).release().ptr()] { Py_DECREF(owner); });
  t->storage->bytes = static_cast<size_t>(t->numel() * item);
  t->storage->writable = !read_only;
  return t;
}

void bind_exchange(Module& m) {
  TensorClass cls(m.attr("Tensor"));
  cls.def(
      "__dlpack__",
      [](const Tensor& x, const py::object& stream, const py::object& dl_device, const py::kwargs&) {
        return to_dlpack(x, stream, dl_device);
      },
      py::kw_only(), py::arg("stream") = py::none(), py::arg("dl_device") = py::none());
  cls.def("__dlpack_device__", [](const TensorImpl& x) {
    const int gpu = x.device().gpu;
    return gpu < 0 ? std::make_pair(kDlCpu, 0) : std::make_pair(kDlCuda, gpu);
  });
  cls.def_property_readonly("__cuda_array_interface__", &cuda_array_interface);
  m.def("from_dlpack", &from_dlpack, py::arg("source"),
        "A tensor that shares the memory of any object with __dlpack__ (NumPy, PyTorch, JAX, CuPy, ...), on the CPU or "
        "a GPU. Work of the current stream waits for what the other library has queued.");
  m.def("from_cuda_array", &from_cuda_array, py::arg("source"),
        "A tensor that shares the memory of any object with __cuda_array_interface__.");
}

}  // namespace fnn
