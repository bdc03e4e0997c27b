// The boundary of devices: a function that is bound runs where its tensors live, and is not
// called at all where they live on several devices.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/scalar.h"
#include "core/tensor.h"

namespace fnn {

namespace py = pybind11;

template <class T>
inline constexpr bool is_tensors = false;  // whether an argument holds tensors
template <>
inline constexpr bool is_tensors<Tensor> = true;
template <>
inline constexpr bool is_tensors<Operand> = true;
template <>
inline constexpr bool is_tensors<std::optional<Tensor>> = true;
template <>
inline constexpr bool is_tensors<std::vector<Tensor>> = true;

// A function that is bound as it is: it deals with several devices itself.
template <class F>
struct any_device {
  F f;
  explicit any_device(F f) : f(std::move(f)) {}
};

// f(tensor, i) for each tensor of an argument; i is its place in a list, and -1 outside of one.
template <class T, class F>
void for_tensors(const T& argument, const F& f) {
  if constexpr (std::is_same_v<T, Tensor>) {
    if (argument) f(*argument, -1);
  } else if constexpr (std::is_same_v<T, Operand>) {
    if (const Tensor* t = std::get_if<Tensor>(&argument)) for_tensors(*t, f);
  } else if constexpr (std::is_same_v<T, std::optional<Tensor>>) {
    if (argument) for_tensors(*argument, f);
  } else if constexpr (is_tensors<T>) {
    for (size_t i = 0; i < argument.size(); ++i)
      if (argument[i]) f(*argument[i], static_cast<int>(i));
  }
}

// The one device of the arguments, the first of which decides.
class OneDevice {
 public:
  template <class T>
  void see(const T& argument) {
    for_tensors(argument, [this](const TensorImpl& x, int) {
      const Device d = x.device();
      if (!seen_) device_ = d;
      seen_ = true;
      same_ &= d == device_;
    });
  }

  bool same() const { return same_; }
  Device device() const { return device_; }

 private:
  Device device_;
  bool seen_ = false, same_ = true;
};

// Raises the ValueError that names the first of the arguments and the first on another device.
class Differing {
 public:
  Differing(const char* op, const std::vector<const char*>& names) : op_(op), names_(names) {}

  template <class T>
  void see(const T& argument) {
    const size_t at = next_++;
    const std::string argument_name = at < names_.size() ? names_[at] : text("argument ", at);
    for_tensors(argument, [&](const TensorImpl& x, int i) {
      const std::string label = i < 0 ? argument_name : text(argument_name, '[', i, ']');
      if (first_.empty()) {
        first_ = label;
        device_ = x.device();
      } else if (!(x.device() == device_)) {
        fail(op_, "expected all tensors on one device; got ", first_, " on ", name(device_), " and ", label, " on ",
             name(x.device()));
      }
    });
  }

 private:
  const char* op_;
  const std::vector<const char*>& names_;
  size_t next_ = 0;
  std::string first_;
  Device device_;
};

// What an error calls the function, and its arguments in order.
struct BoundName {
  std::string op;
  std::vector<const char*> arguments;

  template <class... Extra>
  BoundName(const char* name, const char* self, const Extra&... extra) : op(name) {
    if (op.rfind("__", 0) == 0) op = op.substr(2, op.size() - 4);
    if (self) arguments.push_back(self);
    (add(extra), ...);
  }

 private:
  template <class E>
  void add(const E& extra) {
    if constexpr (std::is_base_of_v<py::arg, E>)
      arguments.push_back(extra.name);
    else if constexpr (std::is_same_v<E, py::is_operator>)
      arguments.push_back("other");
  }
};

template <class F, class R, class... Args>
auto on_one_device(F f, BoundName called, R (*)(Args...)) {
  if constexpr ((is_tensors<std::decay_t<Args>> || ...)) {
    return [f = std::move(f), called = std::make_unique<BoundName>(std::move(called))](Args... args) -> R {
      OneDevice found;
      (found.see(std::as_const(args)), ...);
      if (!found.same()) [[unlikely]] {
        Differing differing(called->op.c_str(), called->arguments);
        (differing.see(std::as_const(args)), ...);
      }
      const DeviceGuard guard(found.device());
      return f(std::forward<Args>(args)...);
    };
  } else {
    return f;
  }
}

// f as it is to be bound.
template <class F, class... Extra>
decltype(auto) bounded(const char* name, const char* self, F&& f, const Extra&... extra) {
  using Plain = std::decay_t<F>;
  if constexpr (std::is_member_pointer_v<Plain>) {
    return std::forward<F>(f);
  } else if constexpr (requires { f.f; }) {
    return std::forward<F>(f).f;
  } else {
    return on_one_device(std::forward<F>(f), BoundName(name, self, extra...),
                         static_cast<py::detail::function_signature_t<Plain>*>(nullptr));
  }
}

class Module : public py::module_ {
 public:
  explicit Module(const py::module_& m) : module_(m) {}

  template <class F, class... Extra>
  Module& def(const char* name, F&& f, const Extra&... extra) {
    py::module_::def(name, bounded(name, nullptr, std::forward<F>(f), extra...), extra...);
    return *this;
  }
};

class TensorClass : public py::class_<TensorImpl, Tensor> {
  using Base = py::class_<TensorImpl, Tensor>;

 public:
  using Base::Base;

  using Base::def;  // constructors
  template <class F, class... Extra>
  TensorClass& def(const char* name, F&& f, const Extra&... extra) {
    Base::def(name, bounded(name, "self", std::forward<F>(f), extra...), extra...);
    return *this;
  }
};

}  // namespace fnn
