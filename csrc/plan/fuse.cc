// Rules that make one kernel of several. A rule applies where the memory between them is
// seen by nobody else; none of them changes a bit of the result.
#include <algorithm>

#include "core/error.h"
#include "plan/launch.h"
#include "plan/plan.h"

namespace fnn {
namespace {

class Fuser {
 public:
  Fuser(std::vector<Op>& ops, const std::function<int(const void*)>& memory, const std::function<bool(int)>& own,
        std::vector<std::string>& notes)
      : ops_(ops), memory_(memory), own_(own), notes_(notes) {}

  void run() {
    each_dtype([&]<class T>() { unit_loss_gradient<T>(); });
    each_dtype([&]<class T>() { linear_activation<T>(); });
    each_dtype([&]<class T>() { activation_gradient<T>(); });
    each_dtype([&]<class T>() { convolution_tail<T>(); });
    each_dtype([&]<class T>() { update<kernel::sgd, SgdArgs, T>(FusedRule::sgd); });
    each_dtype([&]<class T>() { update<kernel::adam, AdamArgs, T>(FusedRule::adam); });
  }

 private:
  template <class F>
  static void each_dtype(const F& f) {
    f.template operator()<f32>();
    f.template operator()<f64>();
  }

  // Calls of K in order, f(args, op) for each; f may remove ops.
  template <class K, template <class> class Args, class T, class F>
  void each(const F& f) {
    for (size_t k = 0; k < ops_.size();) {
      const size_t before = ops_.size();
      if (auto* args = ops_[k].as<K, Args, T>()) f(*args, ops_[k]);
      k += ops_.size() == before;
    }
  }

  // Whether the memory at p is the kernels' own, and used by these of them alone.
  bool between(const void* p, std::initializer_list<const Op*> users) const {
    const int block = p ? memory_(p) : -1;
    if (!own_(block)) return false;
    for (const Op& op : ops_)
      if (std::find(users.begin(), users.end(), &op) == users.end() && touches(op, block)) return false;
    return true;
  }

  bool touches(const Op& op, int block) const {
    for (const Access& a : op.accesses())
      if (memory_(a.address()) == block) return true;
    return false;
  }

  // Whether an op from `first` to `last`, these left out, uses the block, or writes to it.
  bool touched_between(const Op& first, const Op& last, int block, bool writes_only) const {
    for (const Op* op = &first + 1; op < &last; ++op)
      for (const Access& a : op->accesses())
        if (memory_(a.address()) == block && (a.writes || !writes_only)) return true;
    return false;
  }

  // The op that writes exactly to p, before `reader`.
  Op* writer_of(const void* p, const Op& reader) const {
    for (Op* op = const_cast<Op*>(&reader); op-- != ops_.data();)
      for (const Access& a : op->accesses())
        if (a.writes && a.address() == p) return op;
    return nullptr;
  }

  void remove(const Op& op) { ops_.erase(ops_.begin() + (&op - ops_.data())); }

  // backward() begins with a gradient of 1: cross-entropy has computed what comes next.
  template <class T>
  void unit_loss_gradient() {
    each<kernel::scale_rows, ScaleRowsArgs, T>([&](ScaleRowsArgs<T>& scale, Op& op) {
      Op* seed = writer_of(scale.dy, op);
      Op* loss = writer_of(scale.x, op);
      const auto* fill = seed ? seed->as<kernel::fill, FillArgs, T>() : nullptr;
      auto* entropy = loss ? loss->as<kernel::cross_entropy, CrossEntropyArgs, T>() : nullptr;
      if (!fill || !entropy || fill->value != T(1) || !scale.single || !between(scale.x, {loss, &op})) return;
      entropy->dx = scale.dx;
      const bool seed_unused = between(scale.dy, {seed, &op});
      notes_.push_back("cross_entropy + scale_rows by 1: the gradient is ready");
      remove(op);
      if (seed_unused) remove(*seed);
    });
  }

  // act(x w + b)
  template <class T>
  void linear_activation() {
    each<kernel::unary_fwd, UnaryFwdArgs, T>([&](UnaryFwdArgs<T>& act, Op& op) {
      Op* before = writer_of(act.x, op);
      auto* linear = before ? before->as<kernel::linear_fwd, LinearFwdArgs, T>() : nullptr;
      if (!linear || linear->has_activation || linear->n * linear->out != act.n) return;
      if (!fusible_in_linear(act.op)) return note("linear_fwd", op, "not an activation that it contains");
      const bool alone = between(act.x, {before, &op});
      if (!alone && (reads_y(act.op) || act.y == act.x || touched_between(*before, op, memory_(act.x), true) ||
                     touched_between(*before, op, memory_(act.y), false)))
        return note("linear_fwd", op, "the sum is used elsewhere too");
      linear->has_activation = true;
      linear->activation = act.op;
      linear->z = alone ? nullptr : linear->y;
      linear->y = act.y;
      notes_.push_back("linear_fwd + activation");
      remove(op);
    });
  }

  // The slope of an activation, as part of the kernel that makes its dy or takes its dx.
  template <class T>
  void activation_gradient() {
    each<kernel::unary_bwd, UnaryBwdArgs, T>([&](UnaryBwdArgs<T>& act, Op& op) {
      if (!fusible_in_linear(act.op)) return;
      Op* before = writer_of(act.dy, op);
      if (auto* linear = before ? before->as<kernel::linear_bwd, LinearBwdArgs, T>() : nullptr;
          linear && linear->dx == act.dy && linear->n * linear->in == act.n && !linear->has_input_activation &&
          between(act.dy, {before, &op}) && !touched_between(*before, op, memory_(act.xy), true)) {
        linear->has_input_activation = true;
        linear->input_activation = act.op;
        linear->input_xz = act.xy;
        linear->dx = act.dx;
        notes_.push_back("linear_bwd + slope of the activation before it");
        return remove(op);
      }
      for (Op* after = &op + 1; after != ops_.data() + ops_.size(); ++after) {
        auto* linear = after->as<kernel::linear_bwd, LinearBwdArgs, T>();
        if (!linear || linear->dy != act.dx || linear->has_activation || linear->n * linear->out != act.n) continue;
        if (!between(act.dx, {&op, after})) return;
        linear->has_activation = true;
        linear->activation = act.op;
        linear->yz = act.xy;
        linear->dy = act.dy;
        linear->g = act.dx;
        notes_.push_back("slope of the activation + linear_bwd");
        return remove(op);
      }
    });
  }

  // The call of K after `op` for which f(args) holds.
  template <class K, template <class> class Args, class T, class F>
  std::pair<Op*, Args<T>*> after(const Op& op, const F& f) {
    for (Op* other = &ops_[0] + (&op - &ops_[0]) + 1; other != &ops_[0] + ops_.size(); ++other)
      if (auto* args = other->as<K, Args, T>(); args && f(*args)) return {other, args};
    return {nullptr, nullptr};
  }

  // Activation and 2 x 2 max-pooling behind a convolution: the full map stays in the cache.
  template <class T>
  void convolution_tail() {
    each<kernel::conv2d_fwd, Conv2dFwdArgs, T>([&](Conv2dFwdArgs<T>& conv, Op& conv_op) {
      if (!conv.tail.empty()) return;
      const auto [act_op, act] = after<kernel::unary_fwd, UnaryFwdArgs, T>(
          conv_op, [&](const auto& u) { return u.x == conv.y && u.n == conv.s.outputs() && fusible(u.op); });
      const T* map = act ? act->y : conv.y;
      const auto [pool_op, pool] = after<kernel::max_pool_fwd, MaxPoolFwdArgs, T>(
          conv_op, [&](const auto& p) { return p.x == map && halves(p.s, conv.s); });
      const auto [back_op, back] = after<kernel::conv2d_bwd, Conv2dBwdArgs, T>(
          conv_op, [&](const auto& c) { return c.w == conv.w && c.x == conv.x && c.tail.empty(); });
      const auto [act_back_op, act_back] = after<kernel::unary_bwd, UnaryBwdArgs, T>(
          conv_op, [&](const auto& u) { return act && u.xy == map && u.op == act->op && back && u.dx == back->dy; });
      const T* dmap = act_back ? act_back->dy : back ? back->dy : nullptr;
      const auto [pool_back_op, pool_back] = after<kernel::max_pool_bwd, MaxPoolBwdArgs, T>(
          conv_op, [&](const auto& p) { return pool && p.index == pool->index && p.dx == dmap; });

      // Backward either follows the same way, or is not there at all.
      const bool act_fits = act && between(conv.y, {&conv_op, act_op}) &&
                            (!back || (act_back && between(act_back->dx, {act_back_op, back_op})));
      const bool pool_fits =
          pool &&
          (act ? act_fits && between(map, {act_op, pool_op, act_back_op}) : between(map, {&conv_op, pool_op})) &&
          between(pool->index, {pool_op, pool_back_op}) &&
          (!back || (pool_back && between(dmap, {pool_back_op, act_back_op, back_op})));
      if (!act_fits && !pool_fits) {
        if (act || pool) note("conv2d_fwd", act ? *act_op : *pool_op, "what lies between is used elsewhere too");
        return;
      }
      const ConvTail tail{act_fits, act_fits ? act->op : UnaryOp::relu, pool_fits};
      conv.tail = tail;
      conv.y = pool_fits ? pool->y : act->y;
      conv.cell = pool_fits ? reinterpret_cast<uint8_t*>(pool->index) : nullptr;  // memory enough for either
      if (back) {
        back->tail = tail;
        back->dy = pool_fits ? pool_back->dy : act_back->dy;
        back->y = act_fits ? conv.y : nullptr;
        back->cell = conv.cell;
      }
      notes_.push_back(text("conv2d", act_fits ? " + activation" : "", pool_fits ? " + max_pool 2 x 2" : "",
                            back ? ", forward and backward" : ""));
      std::vector<const Op*> done;
      if (act_fits) done.insert(done.end(), {act_op, act_back_op});
      if (pool_fits) done.insert(done.end(), {pool_op, pool_back_op});
      std::sort(done.begin(), done.end(), std::greater<>());
      for (const Op* op : done)
        if (op) remove(*op);
    });
  }

  static bool halves(const PoolShape& s, const ConvShape& conv) {
    return s.n == conv.n && s.c == conv.o && s.h == conv.oh && s.w == conv.ow && !s.adaptive && s.kh == 2 &&
           s.kw == 2 && s.stride_h == 2 && s.stride_w == 2 && s.pad_h == 0 && s.pad_w == 0 && s.dilation_h == 1 &&
           s.dilation_w == 1 && s.oh == s.h / 2 && s.ow == s.w / 2 && s.oh > 0 && s.ow > 0;
  }

  // The optimizer's rule where the gradient of a dense layer is made: it never reaches memory.
  template <class K, template <class> class Args, class T>
  void update(FusedRule kind) {
    for (size_t k = 0; k < ops_.size(); ++k) {
      auto* step = ops_[k].as<K, Args, T>();
      if (!step) continue;
      std::vector<size_t> fused;
      for (size_t j = 0; j < k; ++j) {
        auto* linear = ops_[j].as<kernel::linear_bwd, LinearBwdArgs, T>();
        if (linear && linear->dw && !linear->updates() && take_over(kind, *linear, j, *step, k)) fused.push_back(j);
      }
      if (fused.empty()) continue;
      // The options are read once, before the first kernel that needs them; the rest of the
      // optimizer's own call takes them from there.
      Op options{&kernel_info<read_options, Args, T>, Op::keep(*step), std::move(ops_[k].slot)};
      auto* read = reinterpret_cast<Args<T>*>(options.args.get());
      read->on.count = 0;
      ops_[k].slot = [read](void* args) { static_cast<Args<T>*>(args)->rule.value = read->rule.value; };
      for (const size_t j : fused) {
        const auto rule = [](void* args) -> auto& {
          auto& update = static_cast<LinearBwdArgs<T>*>(args)->update;
          if constexpr (std::is_same_v<Args<T>, SgdArgs<T>>)
            return update.sgd;
          else
            return update.adam;
        };
        ops_[j].slot = [read, rule](void* args) { rule(args).value = read->rule.value; };
        ops_[j].changes = Changes(rule(ops_[j].args.get()));
      }
      if (step->on.count == 0) ops_.erase(ops_.begin() + static_cast<int64_t>(k));
      ops_.insert(ops_.begin() + static_cast<int64_t>(fused.front()), std::move(options));
      ++k;
    }
  }

  struct read_options {
    static constexpr const char* label = "options";
    static constexpr bool is_check = false;
    template <class A>
    static void run(Stream&, const A&) {}
  };

  // Moves parameters of `step`, the op at k, into `linear`, at j, whose gradients they take.
  template <template <class> class Args, class T>
  bool take_over(FusedRule kind, LinearBwdArgs<T>& linear, size_t j, Args<T>& step, size_t k) {
    const auto index_of = [&](const T* grad) {
      for (int i = 0; grad && i < step.on.count; ++i)
        if (step.on.grad[i] == grad && between(grad, {&ops_[j], &ops_[k]})) return i;
      return -1;
    };
    const auto untouched = [&](const T* p) {  // between j and k
      for (size_t i = j + 1; i < k; ++i)
        if (touches(ops_[i], memory_(p))) return false;
      return true;
    };
    const int w = index_of(linear.dw);
    if (w < 0 || step.on.p[w] != linear.w || step.on.n[w] != linear.in * linear.out) return false;
    if (linear.n > kFusedRows<T>) {
      notes_.push_back(text("linear_bwd and the update stay apart: a batch of ", linear.n, " is summed in parts"));
      return false;
    }
    if (!untouched(linear.w)) return false;
    FusedUpdate<T>& u = linear.update;
    const auto take = [&](int i, T*& p, T*(&state)[3]) {
      constexpr int kState = std::extent_v<std::remove_reference_t<decltype(step.on.state[0])>>;
      p = step.on.p[i];
      for (int s = 0; s < kState; ++s) state[s] = step.on.state[i][s];
      const int last = --step.on.count;
      step.on.n[i] = step.on.n[last];
      step.on.p[i] = step.on.p[last];
      step.on.grad[i] = step.on.grad[last];
      for (int s = 0; s < kState; ++s) step.on.state[i][s] = step.on.state[last][s];
    };
    u.kind = kind;
    take(w, u.w, u.w_state);
    if (const int b = index_of(linear.db); b >= 0 && untouched(step.on.p[b])) take(b, u.b, u.b_state);
    notes_.push_back(text("linear_bwd + ", kind == FusedRule::sgd ? "sgd" : "adam", " of its weight"));
    return true;
  }

  void note(const char* first, const Op& op, const char* why) {
    notes_.push_back(text(first, " and ", op.info->name, " stay apart: ", why));
  }

  std::vector<Op>& ops_;
  const std::function<int(const void*)>& memory_;
  const std::function<bool(int)>& own_;
  std::vector<std::string>& notes_;
};

}  // namespace

void fuse(std::vector<Op>& ops, const std::function<int(const void*)>& memory, const std::function<bool(int)>& own,
          std::vector<std::string>& notes) {
  Fuser(ops, memory, own, notes).run();
}

}  // namespace fnn
