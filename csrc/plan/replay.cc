// A plan at work: one step, or those of an epoch.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "ops/copy/op.h"
#include "plan/graph.h"
#include "plan/launch.h"

namespace fnn {

Plan::Turn::Turn(Plan& plan) : plan_(plan) {
  check<RuntimeError>(!plan.busy_, "compile", "the step is already running in another thread");
  plan.busy_ = true;
}

Plan::~Plan() {
  if (!graphs_) return;
  try {  // they must not be running
    synchronize(*stream_);
  } catch (const std::exception&) {  // of a context that is lost
  }
}

void Plan::patch(const std::vector<char*>& slots) {
  for (const Patch& p : patches_) *p.where = slots[static_cast<size_t>(p.slot)] + p.offset;
}

void Plan::run(const std::vector<char*>& slots) {
  patch(slots);
  Stream& stream = active_stream();
  using Clock = std::chrono::steady_clock;
  for (size_t k = 0; k < ops_.size(); ++k) {
    const Op& op = ops_[k];
    const auto start = profiling_ ? Clock::now() : Clock::time_point();
    if (op.slot) op.slot(op.args.get());
    op.info->run(stream, op.args.get());
    if (profiling_ && !is_cpu(device_)) synchronize(stream);
    if (profiling_) seconds_[k] = std::min(seconds_[k], std::chrono::duration<double>(Clock::now() - start).count());
  }
}

// What a step leaves behind, beside the memory that its kernels write.
void Plan::settle() {
  for (const auto& storage : written_) ++storage->version;
  for (const Leaf& entry : leaves_)
    if (const Tensor leaf = entry.stays ? nullptr : entry.before.leaf.lock(); leaf && leaf->grad != entry.after)
      leaf->grad = entry.after;
}

// On another stream than before: after what runs there, in memory that was not made for it.
void Plan::enter_stream() {
  const Stream* stream = gpu_stream;
  if (stream == stream_) return;
  if (stream_) on_gpu("compile", [&](const CudaBackend& b) { b.wait(*stream, *stream_); });
  stream_ = stream;
  const auto uses = [](const std::shared_ptr<Storage>& s) {
    if (s && s->gpu != gpu_stream) used_elsewhere(s->gpu, s->data.get());
  };
  uses(arena_);
  if (correct_) uses(correct_->storage);
  for (const auto& storage : held_) uses(storage);
  if (graphs_)
    for (const auto& storage : graphs_->memory()) uses(storage);
}

// Whether the step, which has run before, runs as graphs from now on.
bool Plan::as_graphs() {
  if (graphs_ && !profiling_) return true;
  if (!becomes_graphs_ || profiling_ || !has_run_) return false;
  graphs_ = std::make_unique<Graphs>(*this);
  return true;
}

void Plan::profile(const std::vector<Tensor>& inputs, int repeats) {
  seconds_.assign(ops_.size(), std::numeric_limits<double>::infinity());
  profiling_ = true;
  for (int i = 0; i < repeats; ++i) replay(inputs);
  profiling_ = false;
}

std::vector<Tensor> Plan::replay(const std::vector<Tensor>& inputs) {
  const Turn turn(*this);
  const DeviceGuard guard(device_);
  if (!is_cpu(device_)) enter_stream();
  std::vector<char*> slots;
  for (const Tensor& x : inputs) slots.push_back(static_cast<char*>(x->raw()));
  std::vector<std::shared_ptr<Storage>> fresh;
  for (const size_t bytes : output_bytes_) {
    fresh.push_back(new_storage(bytes));
    slots.push_back(static_cast<char*>(fresh.back()->data.get()));
  }
  if (as_graphs())
    graphs_->run(slots, inputs);
  else
    run(slots);
  has_run_ = true;
  settle();

  std::vector<Tensor> results;
  for (const Output& y : outputs_) {
    results.push_back(y.copied ? clone(y.like) : alias(y.like));
    Tensor& result = results.back();
    if (y.slot < 0) continue;
    const auto slot = static_cast<size_t>(y.slot);
    if (slot < inputs.size()) {
      result->storage = inputs[slot]->storage;
      result->offset += inputs[slot]->offset;
    } else {
      result->storage = fresh[slot - inputs.size()];
    }
  }
  return results;
}

EpochResult Plan::run_epoch(const std::vector<Tensor>& data, const int64_t* order, int64_t rows, int64_t batch,
                            const Hooks& hooks) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kBreath = std::chrono::milliseconds(20);
  if (!only_once_.empty()) return {};
  check<TypeError>(!outputs_.empty() && is_floating(outputs_[0].like->dtype) && outputs_[0].like->numel() == 1,
                   "run_epoch", "the step must return its loss, a tensor of one element");
  EpochResult result;
  const DeviceGuard guard(device_);
  if (!is_cpu(device_) && as_graphs()) {
    enter_stream();
    return graphs_->run_epoch(data, order, rows, batch, hooks);
  }
  if (becomes_graphs_ && !has_run_) rows = std::min(rows, batch);  // the caller goes on
  std::vector<Tensor> batches;
  std::vector<int64_t> row_bytes;
  for (const Tensor& x : data) {
    Dims shape = x->shape;
    shape[0] = batch;
    batches.push_back(order ? empty_strided(shape, x->strides, x->dtype) : alias(x, shape, x->strides, x->offset));
    row_bytes.push_back(x->shape[0] > 0 ? x->numel() / x->shape[0] * static_cast<int64_t>(itemsize(x->dtype)) : 0);
  }
  auto last_breath = Clock::now();
  for (int64_t at = 0; at + batch <= rows; at += batch) {
    for (size_t i = 0; i < data.size(); ++i) {
      if (!order) {
        batches[i]->offset = data[i]->offset + at * data[i]->strides[0];
        continue;
      }
      const GatherRowsArgs<u8> gather{data[i]->data<u8>(), order + at, batches[i]->data<u8>(),
                                      data[i]->shape[0],   batch,      row_bytes[i]};
      kernel::gather_rows::run(active_stream(), gather);
    }
    if (!accepts(batches)) break;
    if (hooks.before) hooks.before(result.steps);
    const Tensor loss = replay(batches)[0];
    const double value = visit_floating("run_epoch", "loss", loss->dtype, [&]<class T>() -> double {
      T number;
      read(*loss, &number);
      return number;
    });
    result.loss += value * static_cast<double>(batch);
    result.correct += correct();
    if (hooks.after) hooks.after(result.steps, value);
    ++result.steps;
    if (!std::isfinite(value)) break;
    if (const auto now = Clock::now(); now - last_breath > kBreath) {
      hooks.breathe();
      last_breath = Clock::now();
    }
  }
  return result;
}

}  // namespace fnn
