// The tape: each result remembers the node that made it, a node remembers the nodes
// of its inputs and a function from the result's gradient to theirs.
#pragma once

#include <functional>
#include <initializer_list>
#include <utility>

#include "core/tensor.h"

namespace fnn {

// The gradients a backward function is to fill in: one slot an input.
class Grads {
 public:
  explicit Grads(const std::vector<std::shared_ptr<Node>>& inputs) : inputs_(inputs), grads_(inputs.size()) {}
  bool needs(size_t i) const { return inputs_[i] != nullptr; }
  Tensor& operator[](size_t i) { return grads_[i]; }

 private:
  const std::vector<std::shared_ptr<Node>>& inputs_;
  std::vector<Tensor> grads_;
};

using Backward = std::function<void(const Tensor& dy, Grads& dx)>;

struct Node {
  Node(const char* op, uint64_t order) : op(op), order(order) {}
  ~Node();

  const char* op;
  uint64_t order;                             // creation order: a node's inputs come before it
  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient is wanted
  Backward backward;                          // empty for a leaf, and once used
  std::weak_ptr<TensorImpl> leaf;
};

// A tensor that backward will read: refuses it if it was written to in the meantime.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& x) : tensor_(alias(x)), version_(x->storage->version) {}
  const Tensor& get(const char* op) const {
    check<RuntimeError>(tensor_->storage->version == version_, op, "a tensor of shape ", tensor_->shape,
                        " that backward needs was changed in place after the forward pass");
    return tensor_;
  }

 private:
  Tensor tensor_;
  uint32_t version_ = 0;
};

bool grad_enabled();
void set_grad_enabled(bool enabled);

// Turns the tape off for a scope.
class NoGrad {
 public:
  NoGrad() : before_(grad_enabled()) { set_grad_enabled(false); }
  ~NoGrad() { set_grad_enabled(before_); }
  NoGrad(const NoGrad&) = delete;

 private:
  bool before_;
};

bool needs_grad(std::initializer_list<const Tensor*> inputs);
Tensor attach(const char* op, std::initializer_list<const Tensor*> inputs, Tensor y, Backward backward);

// Puts y = op(inputs) on the tape if any input asks for a gradient. `make` returns the
// backward function and is called only then, so nothing is saved in vain.
template <class Make>
Tensor record(const char* op, std::initializer_list<const Tensor*> inputs, Tensor y, Make&& make) {
  if (!needs_grad(inputs)) return y;
  return attach(op, inputs, std::move(y), make());
}

// Runs the tape from y, adding into the .grad of every leaf that led to it.
void backward(const Tensor& y, const Tensor& dy, bool retain_graph);

// Whether x may be written to now, and the mark of such a write. Only an idempotent one
// (all elements alike) may go to elements that share a place in memory.
void check_in_place(const char* op, const Tensor& x, bool idempotent = false);
void begin_in_place(const char* op, const Tensor& x, bool idempotent = false);

}  // namespace fnn
