#include "ops/batch_norm/args.h"

#include "core/stream.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

constexpr int64_t kRows = 256;  // of a chunk whose sums are made by one thread

// total[k * c + i] = sum over rows r of f(r, at)[k], for K values at once.
template <class T, int K, class F>
void sums_over_rows(Stream& s, int64_t rows, int64_t c, T* total, const F& f) {
  const int64_t chunks = (rows + kRows - 1) / kRows;
  T* partial = static_cast<T*>(s.workspace(chunks * K * c * sizeof(T)));
  parallel_for(s, chunks, 8192 / (kRows * c + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t last = (i + 1) * kRows < rows ? (i + 1) * kRows : rows;
      for_vec<T>(0, c, [&](auto at) {
        Vec<T> acc[K];
        for (auto& v : acc) v = Vec<T>(0);
        for (int64_t r = i * kRows; r < last; ++r) f(r, at, acc);
        for (int k = 0; k < K; ++k) at.store(partial + (i * K + k) * c, acc[k]);
      });
    }
  });
  column_sums(partial, chunks, K * c, total, K * c);
}

// f(at, at of the channel) for every vector of (rows, c). Where rows are short several are taken
// as one, so that vectors are whole: `tables`, K values a channel, are then repeated as often.
template <class T, int K, class F>
void for_each_row(Stream& s, const T* y, int64_t rows, int64_t c, const T* const (&tables)[K], const F& f) {
  const int64_t group = c < 256 ? 4 * Vec<T>::N : 1, width = group * c;
  parallel_for(s, rows, (16384 / (width + 1) + 1) * group, [&](int64_t begin, int64_t end) {
    const T* table[K];
    T* copy = group > 1 ? static_cast<T*>(Stream::thread_workspace(K * width * sizeof(T))) : nullptr;
    for (int k = 0; k < K; ++k) {
      table[k] = tables[k];
      if (!copy || !tables[k]) continue;
      table[k] = copy + k * width;
      for (int64_t i = 0; i < width; i += c) __builtin_memcpy(copy + k * width + i, tables[k], c * sizeof(T));
    }
    for (int64_t r = begin; r < end; r += group) {
      const int64_t n = (end - r < group ? end - r : group) * c, offset = r * c;
      const auto at_vector = [&](auto at) {
        auto there = at;
        there.i += offset;
        f(there, at, table);
      };
      if (width % Vec<T>::N == 0)
        for_vec_to(y, rows * c, 0, n, at_vector);
      else
        for_vec<T>(0, n, at_vector);
    }
  });
}

template <class T>
void batch_norm_fwd(Stream& s, const BatchNormFwdArgs<T>& a) {
  const int64_t c = a.c;
  const T n = static_cast<T>(a.rows);
  if (a.training) {
    sums_over_rows<T, 1>(s, a.rows, c, a.mean,
                         [&](int64_t r, auto at, Vec<T>* acc) { acc[0] += at.load(a.x + r * c); });
    for (int64_t i = 0; i < c; ++i) a.mean[i] /= n;
    sums_over_rows<T, 1>(s, a.rows, c, a.inverse_std, [&](int64_t r, auto at, Vec<T>* acc) {
      const Vec<T> d = at.load(a.x + r * c) - at.load(a.mean);
      acc[0] += d * d;
    });
    for (int64_t i = 0; i < c; ++i) {
      const T sum = a.inverse_std[i];
      if (a.running_mean) a.running_mean[i] += a.momentum * (a.mean[i] - a.running_mean[i]);
      if (a.running_var) a.running_var[i] += a.momentum * (sum / (n - T(1)) - a.running_var[i]);
      a.inverse_std[i] = T(1) / sqrt(sum / n + a.eps);
    }
  } else {
    for (int64_t i = 0; i < c; ++i) {
      a.mean[i] = a.running_mean[i];
      a.inverse_std[i] = T(1) / sqrt(a.running_var[i] + a.eps);
    }
  }
  const T* const tables[] = {a.mean, a.inverse_std, a.w, a.b};
  for_each_row(s, a.y, a.rows, c, tables, [&](auto at, auto channel, const T* const* t) {
    Vec<T> scale = channel.load(t[1]);
    if (a.w) scale = scale * channel.load(t[2]);
    Vec<T> y = (at.load(a.x) - channel.load(t[0])) * scale;
    if (a.b) y += channel.load(t[3]);
    at.store(a.y, y);
  });
}

template <class T>
void batch_norm_bwd(Stream& s, const BatchNormBwdArgs<T>& a) {
  const int64_t c = a.c;
  const auto xhat = [&](int64_t r, auto at) {
    return (at.load(a.x + r * c) - at.load(a.mean)) * at.load(a.inverse_std);
  };
  sums_over_rows<T, 1>(s, a.rows, c, a.db, [&](int64_t r, auto at, Vec<T>* acc) { acc[0] += at.load(a.dy + r * c); });
  sums_over_rows<T, 1>(s, a.rows, c, a.dw,
                       [&](int64_t r, auto at, Vec<T>* acc) { acc[0] += at.load(a.dy + r * c) * xhat(r, at); });
  if (!a.dx) return;
  const Vec<T> part(a.training ? T(1) / static_cast<T>(a.rows) : T(0));
  const T* const tables[] = {a.mean, a.inverse_std, a.w, a.db, a.dw};
  for_each_row(s, a.dx, a.rows, c, tables, [&](auto at, auto channel, const T* const* t) {
    const Vec<T> inverse_std = channel.load(t[1]);
    const Vec<T> scale = a.w ? inverse_std * channel.load(t[2]) : inverse_std;
    Vec<T> dy = at.load(a.dy);
    if (a.training) {
      const Vec<T> xhat = (at.load(a.x) - channel.load(t[0])) * inverse_std;
      dy = dy - part * (channel.load(t[3]) + xhat * channel.load(t[4]));
    }
    at.store(a.dx, dy * scale);
  });
}

#include "isa/instantiate.h"
#include "ops/batch_norm/kernels.inc"

}  // namespace fnn::FNN_ISA
