#include "plan/plan.h"

#include <algorithm>
#include <atomic>

#include "autograd/tape.h"
#include "ops/copy/op.h"
#include "plan/graph.h"
#include "plan/launch.h"

namespace fnn {
namespace {

std::atomic<uint64_t> version{0};

// Blocks of memory by address: which one holds a pointer, and where in it.
class Blocks {
 public:
  void add(const void* address, size_t bytes, int number) {
    blocks_[static_cast<const char*>(address)] = {bytes, number};
  }
  int find(const void* p, int64_t* offset = nullptr) const {
    auto at = blocks_.upper_bound(static_cast<const char*>(p));
    if (at == blocks_.begin()) return -1;
    --at;
    const int64_t o = static_cast<const char*>(p) - at->first;
    if (o >= static_cast<int64_t>(std::max<size_t>(at->second.bytes, 1))) return -1;
    if (offset) *offset = o;
    return at->second.number;
  }

 private:
  struct Block {
    size_t bytes;
    int number;
  };
  std::map<const char*, Block> blocks_;
};

// A block that is needed from one op to another, and its place in the arena.
struct Span {
  int block, first, last;
  size_t bytes, offset;
};

// Places the largest first, each at the lowest address that is free while it lives.
size_t place(std::vector<Span>& spans) {
  std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.bytes > b.bytes; });
  std::vector<Span*> placed;  // by offset
  size_t total = 0;
  for (Span& s : spans) {
    s.offset = 0;
    for (const Span* other : placed) {
      if (other->last < s.first || s.last < other->first) continue;
      if (s.offset + s.bytes <= other->offset) break;
      s.offset = std::max(s.offset, other->offset + other->bytes);
    }
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &s,
                                   [](const Span* a, const Span* b) { return a->offset < b->offset; }),
                  &s);
    total = std::max(total, s.offset + s.bytes);
  }
  return total;
}

}  // namespace

void forget_plans() { ++version; }

Plan::Plan(Recorder& recorder, const std::vector<Tensor>& outputs, bool keep_grads)
    : ops_(std::move(recorder.ops_)),
      device_(recorder.device()),
      version_(version),
      grad_enabled_(fnn::grad_enabled()) {
  const DeviceGuard guard(device_);
  count_correct();
  only_once_ = recorder.only_once_;
  if (only_once_.empty() && !take_leaves(recorder, keep_grads))
    only_once_ = "a gradient that the step accumulates was made";
  if (only_once_.empty()) {
    lay_out(recorder, outputs);
    if (!is_cpu(device_)) plan_graphs();
  } else {
    leaves_.clear();
    ops_.clear();
  }
}

// Decides what becomes of the gradients of leaves. False where the step adds to gradients
// and there were none this time: next time it will do something else.
bool Plan::take_leaves(Recorder& recorder, bool keep_grads) {
  for (auto& [key, before] : recorder.leaves_) {
    const Tensor leaf = before.leaf.lock();
    if (!leaf) continue;
    const std::shared_ptr<Storage> after = leaf->grad ? leaf->grad->storage : nullptr;
    if (!before.cleared_first && after && !before.before) return false;
    const bool stays = !before.cleared_first && after == before.before;
    leaves_.push_back({before, stays, stays ? nullptr : leaf->grad});
  }
  // What a step clears at its beginning is its own affair, unless it is asked for.
  for (Leaf& entry : leaves_)
    if (entry.before.cleared_first && !keep_grads && entry.after) {
      entry.before.leaf.lock()->grad = nullptr;
      entry.after = nullptr;
    }
  return true;
}

// After a cross-entropy or an nll_loss of classes: how many rows had their largest value at the target.
void Plan::count_correct() {
  for (size_t i = 0; i < ops_.size(); ++i) {
    const auto insert = [&]<template <class> class Args, class T>(const Args<T>* a) {
      if (!a || !a->target) return false;
      correct_ = std::make_shared<TensorImpl>();
      correct_->dtype = DType::i64;
      correct_->storage = new_storage(sizeof(int64_t));
      const CountCorrectArgs<T> args{a->n, a->classes, a->ignore_index, a->x, a->target, correct_->data<i64>()};
      kernel::count_correct::run(active_stream(), args);  // of the recorded step itself
      ops_.insert(ops_.begin() + static_cast<int64_t>(i) + 1,
                  Op{&kernel_info<kernel::count_correct, CountCorrectArgs, T>, Op::keep(args), {}});
      return true;
    };
    const auto is_loss = [&]<class T>() {
      return insert(ops_[i].as<kernel::cross_entropy, CrossEntropyArgs, T>()) ||
             insert(ops_[i].as<kernel::nll_fwd, NllFwdArgs, T>());
    };
    if (is_loss.template operator()<f32>() || is_loss.template operator()<f64>()) return;
  }
}

void Plan::lay_out(Recorder& recorder, const std::vector<Tensor>& outputs) {
  inputs_ = recorder.inputs_;
  std::vector<std::shared_ptr<Storage>> made = std::move(recorder.made_);
  std::vector<std::shared_ptr<Storage>> others;
  Blocks own, input, other;
  for (size_t i = 0; i < made.size(); ++i) own.add(made[i]->data.get(), made[i]->bytes, static_cast<int>(i));
  for (size_t i = 0; i < inputs_.size(); ++i)
    input.add(inputs_[i]->storage->data.get(), inputs_[i]->storage->bytes, static_cast<int>(i));
  for (auto& [address, storage] : recorder.used_)
    if (own.find(address) < 0 && input.find(address) < 0 && storage->bytes > 0) {
      other.add(address, storage->bytes, static_cast<int>(others.size()));
      others.push_back(storage);
    }
  recorder.used_.clear();

  // Memory that outlives the step: what is returned is new in every call, the gradients
  // that are kept stay where they are, and nothing else may be held on to.
  constexpr int kArena = -1, kPinned = -2;
  std::vector<int> slot_of(made.size(), kArena);
  for (const Leaf& leaf : leaves_) {
    if (!leaf.after) continue;
    if (const int i = own.find(leaf.after->storage->data.get()); i >= 0) slot_of[static_cast<size_t>(i)] = kPinned;
  }
  const int first_output = static_cast<int>(inputs_.size());
  std::vector<int64_t> expected_owners(made.size(), 1);
  for (const Tensor& y : outputs) {
    const int i = own.find(y->storage->data.get());
    if (i >= 0) ++expected_owners[static_cast<size_t>(i)];
    if (i >= 0 && slot_of[static_cast<size_t>(i)] == kArena) {
      slot_of[static_cast<size_t>(i)] = first_output + static_cast<int>(output_bytes_.size());
      output_bytes_.push_back(y->storage->bytes);
    }
    int slot = i >= 0 ? slot_of[static_cast<size_t>(i)] : -1;
    for (size_t k = 0; k < inputs_.size() && i < 0; ++k)
      if (inputs_[k]->storage == y->storage) slot = static_cast<int>(k);
    outputs_.push_back({y, slot, slot == kPinned});
  }
  for (size_t i = 0; i < made.size(); ++i)
    check<RuntimeError>(slot_of[i] == kPinned || made[i].use_count() <= expected_owners[i], "compile", "a tensor of ",
                        made[i]->bytes,
                        " bytes that the step made is still held outside it, where a "
                        "replay would overwrite it; return it from the step instead");

  const auto memory = [&](const void* p) {
    if (const int i = own.find(p); i >= 0) return i;
    if (const int i = input.find(p); i >= 0) return static_cast<int>(made.size()) + i;
    const int i = other.find(p);
    return i < 0 ? -1 : static_cast<int>(made.size() + inputs_.size()) + i;
  };
  const auto hidden = [&](int i) {
    return i >= 0 && i < static_cast<int>(made.size()) && slot_of[static_cast<size_t>(i)] == kArena;
  };
  fuse(ops_, memory, hidden, notes_);

  // Checks of what the caller brought come before all else.
  std::vector<bool> ready(ops_.size());
  for (size_t k = 0; k < ops_.size(); ++k) {
    ready[k] = ops_[k].info->check;
    for (const Access& a : ops_[k].accesses()) ready[k] = ready[k] && input.find(a.address()) >= 0;
  }
  std::vector<Op> ordered;
  for (const bool wanted : {true, false})
    for (size_t k = 0; k < ops_.size(); ++k)
      if (ready[k] == wanted) ordered.push_back(std::move(ops_[k]));
  ops_ = std::move(ordered);
  seconds_.assign(ops_.size(), 0);

  // When each block is first written and last used.
  std::vector<Span> spans(made.size());
  for (size_t i = 0; i < made.size(); ++i)
    spans[i] = {static_cast<int>(i), -1, -1, (made[i]->bytes + 127) / 64 * 64, 0};
  std::vector<bool> other_written(others.size(), false), other_used(others.size(), false);
  for (size_t k = 0; k < ops_.size(); ++k)
    for (const Access& a : ops_[k].accesses()) {
      if (const int i = own.find(a.address()); i >= 0) {
        Span& s = spans[static_cast<size_t>(i)];
        if (s.first < 0) {
          s.first = static_cast<int>(k);
          // Read before a kernel has written it: a constant that Python put there.
          if (a.reads && slot_of[static_cast<size_t>(i)] == kArena) slot_of[static_cast<size_t>(i)] = kPinned;
        }
        s.last = static_cast<int>(k);
      } else if (const int i = other.find(a.address()); i >= 0 && input.find(a.address()) < 0) {
        other_used[static_cast<size_t>(i)] = true;
        if (a.writes) other_written[static_cast<size_t>(i)] = true;
      }
    }
  std::vector<Span> in_arena;
  for (const Span& s : spans) {
    if (s.first < 0) continue;
    made_bytes_ += s.bytes;
    if (slot_of[static_cast<size_t>(s.block)] == kArena) in_arena.push_back(s);
  }
  arena_bytes_ = place(in_arena);
  arena_ = new_storage(arena_bytes_);
  std::vector<char*> place_of(made.size(), nullptr);
  for (const Span& s : in_arena)
    place_of[static_cast<size_t>(s.block)] = static_cast<char*>(arena_->data.get()) + s.offset;

  for (Op& op : ops_)
    for (const Access& a : op.accesses()) {
      int64_t offset = 0;
      if (const int i = own.find(a.address(), &offset); i >= 0) {
        const int slot = slot_of[static_cast<size_t>(i)];
        if (slot >= first_output)
          patches_.push_back({a.pointer, slot, offset});
        else if (slot == kArena)
          *a.pointer = place_of[static_cast<size_t>(i)] + offset;
      } else if (const int i = input.find(a.address(), &offset); i >= 0) {
        const TensorImpl& x = *inputs_[static_cast<size_t>(i)];  // a call replaces its first element
        patches_.push_back({a.pointer, i, offset - x.offset * static_cast<int64_t>(itemsize(x.dtype))});
        check<RuntimeError>(!a.writes, "compile", "the step writes to its argument ", i,
                            "; a recorded step must leave its arguments as they are");
      } else {
        check<RuntimeError>(other.find(a.address()) >= 0, "compile", op.info->name,
                            " uses memory that the recorder has not seen");
      }
    }
  for (size_t i = 0; i < made.size(); ++i)
    if (slot_of[i] == kPinned) held_.push_back(made[i]);
  for (size_t i = 0; i < others.size(); ++i) {
    if (other_used[i]) held_.push_back(others[i]);
    if (other_written[i]) written_.push_back(others[i]);
  }
  for (Tensor& x : inputs_) {  // only what describes them is needed from here on
    Tensor shape = std::make_shared<TensorImpl>();
    shape->shape = x->shape, shape->strides = x->strides, shape->dtype = x->dtype;
    shape->offset = x->offset, shape->storage = nullptr;
    x = shape;
  }
  for (Output& y : outputs_) {
    y.like = alias(y.like);
    if (y.slot >= 0 && y.slot < first_output) y.like->offset -= inputs_[static_cast<size_t>(y.slot)]->offset;
    if (y.slot >= 0) y.like->storage = nullptr;
  }
}

// Whether the step may run as CUDA graphs. Not where errors are to show at the kernel they come from.
void Plan::plan_graphs() {
  if (backend().blocking()) return;
  const std::string why = Graphs::obstacle(*this);
  becomes_graphs_ = why.empty();
  notes_.push_back(becomes_graphs_ ? "runs as a CUDA graph from its third call on"
                                   : "kernels are started one by one, without a CUDA graph: " + why);
}

int64_t Plan::correct() const {
  int64_t count = 0;
  if (correct_) read(*correct_, &count);
  return count;
}

void Plan::give_away(const Recorder& recorder, std::vector<Tensor>& outputs) const {
  const DeviceGuard guard(device_);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (i < outputs_.size() && outputs_[i].copied) outputs[i] = clone(outputs[i]);
    for (size_t k = 0; k < recorder.inputs_.size(); ++k) {
      const Tensor &input = recorder.inputs_[k], &argument = recorder.arguments_[k];
      if (outputs[i]->storage != input->storage) continue;
      outputs[i] = alias(outputs[i]);
      outputs[i]->storage = argument->storage;
      outputs[i]->offset += argument->offset - input->offset;
    }
  }
}

bool Plan::accepts(const std::vector<Tensor>& inputs) const {
  if (version_ != version || grad_enabled_ != fnn::grad_enabled() || inputs.size() != inputs_.size() ||
      !only_once_.empty())
    return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorImpl &x = *inputs[i], &like = *inputs_[i];
    if (x.dtype != like.dtype || x.shape != like.shape || x.requires_grad || !(x.device() == device_)) return false;
    for (int k = 0; k < x.ndim(); ++k)
      if (x.shape[k] != 1 && x.strides[k] != like.strides[k]) return false;
  }
  for (const Leaf& entry : leaves_) {
    if (entry.before.cleared_first) continue;
    const Tensor leaf = entry.before.leaf.lock();
    if (!leaf || (leaf->grad ? leaf->grad->storage : nullptr) != entry.before.before) return false;
  }
  return true;
}

std::vector<PlanRow> Plan::rows() const {
  std::vector<PlanRow> rows;
  for (size_t k = 0; k < ops_.size(); ++k) {
    double bytes = 0;
    for (const Access& a : ops_[k].accesses()) bytes += static_cast<double>(a.bytes) * (a.reads + a.writes);
    rows.push_back({text(ops_[k].info->name, ' ', name(ops_[k].info->dtype)), ops_[k].info->flops(ops_[k].args.get()),
                    bytes, seconds_[k]});
  }
  return rows;
}

}  // namespace fnn
