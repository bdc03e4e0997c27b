// GPUs, their streams and events, as python/fastnn/cuda.py uses them.
#include "python/convert.h"

namespace fnn {
namespace {

int checked_gpu(int gpu) {
  const int count = gpu_count();
  check(gpu >= 0 && gpu < count, "cuda", "there is no GPU ", gpu, "; the machine has ", count);
  return gpu;
}

// f(library) where what was asked for may come to nothing: a destructor must not throw.
template <class F>
void quietly(const F& f) {
  try {
    f(backend());
  } catch (...) {
  }
}

// Calls f(library) without the GIL.
template <class F>
decltype(auto) waiting(const F& f) {
  const py::gil_scoped_release release;
  return on_gpu("cuda", f);
}

struct PyStream {
  Stream* stream;
  bool taken;  // to be given back

  explicit PyStream(Stream& s, bool taken) : stream(&s), taken(taken) {}
  PyStream(const PyStream&) = delete;
  ~PyStream() {
    if (taken) quietly([&](const CudaBackend& b) { b.give_stream(*stream); });
  }
};
using SharedStream = std::shared_ptr<PyStream>;

SharedStream current(int gpu) { return std::make_shared<PyStream>(current_stream(checked_gpu(gpu)), false); }

struct PyEvent {
  const bool timing;
  void* event = nullptr;  // made at the first record(), on the stream's GPU
  int gpu = -1;

  explicit PyEvent(bool timing) : timing(timing) {}
  PyEvent(const PyEvent&) = delete;
  ~PyEvent() {
    if (event) quietly([&](const CudaBackend& b) { b.drop_event(event); });
  }

  void record(const PyStream& s) {
    const int on = s.stream->device.gpu;
    check(!event || on == gpu, "cuda", "an event of GPU ", gpu, " cannot be recorded on GPU ", on);
    on_gpu("cuda", [&](const CudaBackend& b) {
      if (!event) event = b.make_event(on, timing);
      gpu = on;
      b.record(event, *s.stream);
    });
  }
  bool query() const {
    return !event || on_gpu("cuda", [&](const CudaBackend& b) { return b.event_happened(event); });
  }
  void synchronize() const {
    if (event) waiting([&](const CudaBackend& b) { b.synchronize_event(event); });
  }
  double elapsed_time(const PyEvent& end) const {
    check(timing && end.timing, "cuda", "elapsed_time() needs events made with enable_timing=True");
    check<RuntimeError>(event && end.event, "cuda", "elapsed_time() needs two events that were recorded");
    check<RuntimeError>(query() && end.query(), "cuda",
                        "elapsed_time() needs events that have happened: synchronize()");
    return on_gpu("cuda", [&](const CudaBackend& b) { return b.milliseconds(event, end.event); });
  }
};

void bind_streams(Module& m) {
  py::class_<PyStream, SharedStream>(m, "CudaStream")
      .def(py::init([](int gpu) {
             checked_gpu(gpu);
             return on_gpu("cuda",
                           [&](const CudaBackend& b) { return std::make_shared<PyStream>(b.take_stream(gpu), true); });
           }),
           py::arg("gpu"))
      .def_property_readonly("gpu", [](const PyStream& s) { return s.stream->device.gpu; })
      .def_property_readonly("cuda_stream",
                             [](const PyStream& s) { return reinterpret_cast<uintptr_t>(s.stream->native); })
      .def(
          "query",
          [](const PyStream& s) { return on_gpu("cuda", [&](const CudaBackend& b) { return b.finished(*s.stream); }); })
      .def("synchronize", [](const PyStream& s) { waiting([&](const CudaBackend& b) { b.synchronize(*s.stream); }); })
      .def(
          "wait_stream",
          [](const PyStream& s, const PyStream& other) {
            on_gpu("cuda", [&](const CudaBackend& b) { b.wait(*s.stream, *other.stream); });
          },
          py::arg("stream"))
      .def(
          "wait_event",
          [](const PyStream& s, const PyEvent& e) {
            if (e.event) on_gpu("cuda", [&](const CudaBackend& b) { b.wait_event(*s.stream, e.event); });
          },
          py::arg("event"));
  py::class_<PyEvent>(m, "CudaEvent")
      .def(py::init<bool>(), py::arg("enable_timing"))
      .def("record", &PyEvent::record, py::arg("stream"))
      .def("query", &PyEvent::query)
      .def("synchronize", &PyEvent::synchronize)
      .def("elapsed_time", &PyEvent::elapsed_time, py::arg("end"));
  m.def("cuda_current_stream", &current, py::arg("gpu"));
  m.def("cuda_set_stream", [](const PyStream& s) { set_current_stream(*s.stream); }, py::arg("stream"));
}

}  // namespace

void bind_cuda(Module& m) {
  m.def("get_default_device", [] { return name(default_device()); });
  m.def(
      "set_default_device", [](const std::string& name) { set_default_device(parse_device("device", name)); },
      py::arg("device"));
  m.def(
      "device_name", [](const std::string& name) { return fnn::name(parse_device("device", name)); }, py::arg("device"),
      "The full name of a device: 'cuda:0' for 'cuda'.");

  m.def("cuda_device_count", &gpu_count, "GPUs that can be used; raises a RuntimeError that says why there is none.");
  m.def("cuda_device_name", [](int gpu) {
    checked_gpu(gpu);
    return on_gpu("cuda", [&](const CudaBackend& b) { return b.device_name(gpu); });
  });
  m.def("cuda_capability", [](int gpu) {
    checked_gpu(gpu);
    const int c = on_gpu("cuda", [&](const CudaBackend& b) { return b.capability(gpu); });
    return std::make_pair(c / 10, c % 10);
  });
  m.def("cuda_synchronize", [](int gpu) {
    checked_gpu(gpu);
    waiting([&](const CudaBackend& b) { b.synchronize_gpu(gpu); });
  });
  m.def("cuda_memory", [](int gpu) {
    checked_gpu(gpu);
    return std::make_pair(backend().allocated(gpu), backend().reserved(gpu));
  });
  m.def("cuda_empty_cache", [] { waiting([](const CudaBackend& b) { b.empty_cache(); }); });
  bind_streams(m);
}

}  // namespace fnn
