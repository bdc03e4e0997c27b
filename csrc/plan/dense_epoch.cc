#include "plan/dense_epoch.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "plan/launch.h"

namespace fnn {
namespace {

template <class T, size_t N>
DenseParameter parameter(T* p, T* const (&state)[N], bool transposed) {
  DenseParameter whole{p, {}, transposed};
  std::copy(state, state + N, whole.state);
  return whole;
}

// Whether dw and db of the layer become its parameters' next values.
bool trains(const LinearBwdArgs<f32>& back, const LinearFwdArgs<f32>& layer) {
  return back.x == layer.x && back.w == layer.w && back.n == layer.n && back.in == layer.in && back.out == layer.out &&
         back.updates() && back.update.w == layer.w && back.update.b == layer.b;
}

}  // namespace

size_t DenseStep::rule_bytes() const {
  return args.kind == FusedRule::sgd ? sizeof(SgdRule<f32>) : sizeof(AdamRule<f32>);
}

void DenseStep::next_rule(char* to) const {
  void* const now = options->args.get();
  options->slot(now);
  const void* rule = args.kind == FusedRule::sgd
                         ? static_cast<const void*>(&static_cast<SgdArgs<f32>*>(now)->rule.value)
                         : &static_cast<AdamArgs<f32>*>(now)->rule.value;
  std::memcpy(to, rule, rule_bytes());
}

std::optional<DenseStep> find_dense_step(const std::vector<Op>& ops, const char*& why_not) {
  std::vector<const Op*> step;
  for (const Op& op : ops)
    if (!op.info->check) step.push_back(&op);
  why_not = "not two dense layers in float32, a cross-entropy of classes and an update by SGD or Adam alone";
  if (step.size() != 7 || std::string_view(step[4]->info->name) != "options") return {};
  const auto* first = step[0]->as<kernel::linear_fwd, LinearFwdArgs, f32>();
  const auto* second = step[1]->as<kernel::linear_fwd, LinearFwdArgs, f32>();
  const auto* loss = step[2]->as<kernel::cross_entropy, CrossEntropyArgs, f32>();
  const auto* count = step[3]->as<kernel::count_correct, CountCorrectArgs, f32>();
  const auto* back2 = step[5]->as<kernel::linear_bwd, LinearBwdArgs, f32>();
  const auto* back1 = step[6]->as<kernel::linear_bwd, LinearBwdArgs, f32>();
  if (!first || !second || !loss || !count || !back2 || !back1) return {};
  if (second->x != first->y || loss->x != second->y || back2->dy != loss->dx || back1->dy != back2->dx ||
      !trains(*back1, *first) || !trains(*back2, *second) || back1->update.kind != back2->update.kind || back1->dx)
    return {};
  why_not = "an activation other than relu, sigmoid and tanh, or not one between the layers";
  if (!first->has_activation || !fusible(first->activation) || first->z || second->has_activation ||
      !back2->has_input_activation || back2->input_xz != first->y || back2->has_activation || back1->has_activation)
    return {};
  why_not = "a cross-entropy without mean or sum, or of probabilities";
  if (loss->reduction == Reduction::none || !loss->target) return {};
  why_not = "products are not in full float32";
  if (first->precision != Precision::full || second->precision != Precision::full) return {};
  why_not = nullptr;
  DenseStep found{};
  found.args.in = first->in;
  found.args.hidden = first->out;
  found.args.classes = second->out;
  found.args.batch = first->n;
  found.args.activation = first->activation;
  found.args.w1 = parameter(back1->update.w, back1->update.w_state, first->w_transposed);
  found.args.b1 = parameter(back1->update.b, back1->update.b_state, false);
  found.args.w2 = parameter(back2->update.w, back2->update.w_state, second->w_transposed);
  found.args.b2 = parameter(back2->update.b, back2->update.b_state, false);
  found.args.kind = back1->update.kind;
  found.args.weight = loss->weight;
  found.args.ignore_index = loss->ignore_index;
  found.args.smoothing = loss->smoothing;
  found.args.reduction = loss->reduction;
  found.x = first->x;
  found.target = loss->target;
  found.loss = loss->loss;
  found.options = step[4];
  return found;
}

}  // namespace fnn
