#include "autograd/tape.h"

#include <atomic>
#include <queue>
#include <unordered_map>

#include "ops/binary/op.h"
#include "ops/copy/op.h"

namespace fnn {
namespace {

thread_local bool enabled = true;
std::atomic<uint64_t> order{0};

// The node that a gradient for x goes to: its maker, or an accumulator for a leaf.
std::shared_ptr<Node> node_of(const Tensor& x) {
  if (!x || !x->requires_grad) return nullptr;
  if (!x->grad_fn) {
    x->grad_fn = std::make_shared<Node>("AccumulateGrad", order++);
    x->grad_fn->leaf = x;
  }
  return x->grad_fn;
}

void accumulate(Node& node, const Tensor& dy) {
  const Tensor leaf = node.leaf.lock();
  if (!leaf) return;
  if (observer) observer->grad(leaf, false);
  if (leaf->grad) {
    add_(leaf->grad, dy);
  } else {
    // dy may be shared (with the caller's gradient, or another leaf): then it is copied.
    const long owners = observer ? 2 : 1;  // a recorder holds all memory
    const bool sole = dy.use_count() == 1 && dy->storage.use_count() == owners && is_dense(*dy);
    leaf->grad = sole ? dy : clone(dy);
  }
}

}  // namespace

bool TensorImpl::is_leaf() const { return !grad_fn || !grad_fn->leaf.expired(); }

// Frees a long chain of nodes one by one: recursion would exhaust the stack.
Node::~Node() {
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  if (pending) {
    for (auto& n : inputs) pending->push_back(std::move(n));
    return;
  }
  std::vector<std::shared_ptr<Node>> chain = std::move(inputs);
  pending = &chain;
  backward = nullptr;
  while (!chain.empty()) {
    std::shared_ptr<Node> n = std::move(chain.back());
    chain.pop_back();
    n.reset();
  }
  pending = nullptr;
}

bool grad_enabled() { return enabled; }
void set_grad_enabled(bool on) { enabled = on; }

bool needs_grad(std::initializer_list<const Tensor*> inputs) {
  if (!enabled) return false;
  for (const Tensor* x : inputs)
    if (*x && (*x)->requires_grad) return true;
  return false;
}

Tensor attach(const char* op, std::initializer_list<const Tensor*> inputs, Tensor y, Backward backward) {
  auto node = std::make_shared<Node>(op, 0);
  node->inputs.reserve(inputs.size());
  for (const Tensor* x : inputs) node->inputs.push_back(node_of(*x));
  node->order = order++;
  node->backward = std::move(backward);
  y->grad_fn = std::move(node);
  y->requires_grad = true;
  return y;
}

void backward(const Tensor& y, const Tensor& dy, bool retain_graph) {
  check<RuntimeError>(y->requires_grad, "backward", "the tensor does not require a gradient");
  check<RuntimeError>(is_floating(y->dtype), "backward", "only float tensors have gradients; got ", name(y->dtype));
  Tensor seed = dy;
  if (!seed) {
    check<RuntimeError>(y->numel() == 1, "backward",
                        "gradient must be given for a tensor that is not a scalar; got shape ", y->shape);
    seed = full_like(y, 1.0);
  }
  check(seed->shape == y->shape, "backward", "expected gradient of shape ", y->shape, "; got ", seed->shape);
  check<TypeError>(seed->dtype == y->dtype, "backward", "expected gradient of dtype ", name(y->dtype), "; got ",
                   name(seed->dtype));
  const NoGrad guard;

  const auto later = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->order < b->order; };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, decltype(later)> ready(later);
  std::unordered_map<Node*, Tensor> grads;
  const auto send = [&](const std::shared_ptr<Node>& node, Tensor&& g) {
    Tensor& sum = grads[node.get()];
    if (!sum) {
      sum = std::move(g);
      ready.push(node);
    } else {
      sum = add(sum, g);
    }
  };
  send(node_of(y), alias(seed));
  seed.reset();

  // A node is reached only from later ones, so the latest one has its whole gradient.
  while (!ready.empty()) {
    const std::shared_ptr<Node> node = ready.top();
    ready.pop();
    Tensor g = std::move(grads[node.get()]);
    const DeviceGuard device(g->device());
    if (!node->leaf.expired()) {
      accumulate(*node, g);
      continue;
    }
    if (node->inputs.empty()) continue;  // a leaf that nobody holds any more
    check<RuntimeError>(static_cast<bool>(node->backward), "backward", "the result of ", node->op,
                        " was already differentiated; use retain_graph=True the first time");
    Grads dx(node->inputs);
    node->backward(g, dx);
    if (!retain_graph) node->backward = nullptr;
    g.reset();
    for (size_t i = 0; i < node->inputs.size(); ++i)
      if (node->inputs[i] && dx[i]) send(node->inputs[i], std::move(dx[i]));
  }
}

void check_in_place(const char* op, const Tensor& x, bool idempotent) {
  check<RuntimeError>(!(enabled && x->requires_grad), op,
                      "a tensor that requires a gradient can be changed in place only inside no_grad()");
  check(x->storage->writable, op, "the tensor's memory is read-only");
  for (int i = 0; i < x->ndim() && !idempotent; ++i)
    check(x->strides[i] != 0 || x->shape[i] <= 1 || x->numel() == 0, op,
          "several elements of the tensor share one place in memory (shape ", x->shape, ", strides ", x->strides,
          "): clone() it first");
}

void begin_in_place(const char* op, const Tensor& x, bool idempotent) {
  check_in_place(op, x, idempotent);
  ++x->storage->version;
}

}  // namespace fnn
