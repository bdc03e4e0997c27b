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

// f(at, table) for every vector of (rows, c): table(k) is the vector of value k of its channels,
// which `values(channel)[k]` gives. Where rows are short several are taken as one, so that vectors
// are whole, and the tables repeat as often.
template <class T, int K, class Values, class F>
void for_each_row(Stream& s, const T* y, int64_t rows, int64_t c, const Values& values, const F& f) {
  constexpr int N = Vec<T>::N;
  const int64_t group = c < 256 ? (512 / (c * N) + 1) * N : 1, width = group * c;
  T* tables = static_cast<T*>(s.workspace(K * width * sizeof(T)));
  for (int64_t i = 0; i < c; ++i) {
    const auto value = values(i);
    for (int k = 0; k < K; ++k) tables[k * width + i] = value.of[k];
  }
  for (int k = 0; k < K; ++k)
    for (int64_t r = 1; r < group; ++r) __builtin_memcpy(tables + k * width + r * c, tables + k * width, c * sizeof(T));
  parallel_for(s, rows, (16384 / (width + 1) + 1) * group, [=](int64_t begin, int64_t end) {
    const T* const table = tables;  // copies, as are those of f: a store might change what a reference reads
    const int64_t size = width;
    const F g = f;
    for (int64_t r = begin; r < end; r += group) {
      const int64_t n = (end - r < group ? end - r : group) * c, offset = r * c;
      const auto at_vector = [&](auto at) {
        auto there = at;
        there.i += offset;
        g(there, [&](int k) { return at.load(table + k * size); });
      };
      if (width % N == 0)
        for_vec_to(y, rows * c, 0, n, at_vector);
      else
        for_vec<T>(0, n, at_vector);
    }
  });
}

template <class T, int K>
struct Values {
  T of[K];
};

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
  const auto values = [&](int64_t i) {
    return Values<T, 3>{{a.mean[i], a.w ? a.inverse_std[i] * a.w[i] : a.inverse_std[i], a.b ? a.b[i] : T(0)}};
  };
  for_each_row<T, 3>(s, a.y, a.rows, c, values, [x = a.x, y = a.y](auto at, const auto& table) {
    at.store(y, fma(at.load(x) - table(0), table(1), table(2)));
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
  const T part = T(1) / static_cast<T>(a.rows);
  const auto values = [&](int64_t i) {
    const T slope = part * a.dw[i] * a.inverse_std[i];
    return Values<T, 4>{{a.w ? a.inverse_std[i] * a.w[i] : a.inverse_std[i], a.mean[i], slope, part * a.db[i]}};
  };
  if (a.training)
    for_each_row<T, 4>(s, a.dx, a.rows, c, values, [x = a.x, dy = a.dy, dx = a.dx](auto at, const auto& table) {
      const Vec<T> of_statistics = fma(at.load(x) - table(1), table(2), table(3));
      at.store(dx, (at.load(dy) - of_statistics) * table(0));
    });
  else
    for_each_row<T, 4>(s, a.dx, a.rows, c, values,
                       [dy = a.dy, dx = a.dx](auto at, const auto& table) { at.store(dx, at.load(dy) * table(0)); });
}

#include "isa/instantiate.h"
#include "ops/batch_norm/kernels.inc"

}  // namespace fnn::FNN_ISA
