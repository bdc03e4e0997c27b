#include <type_traits>

#include "core/dtype.h"
#include "cuda/strided.cuh"
#include "ops/copy/args.h"

namespace fnn::cuda {
namespace {

constexpr int kSide = 32, kRows = 8;  // a square tile of the matrix, and the rows that a block moves at once

template <class T>
struct Square {
  T x[kSide][kSide + 1];  // so that the numbers of a column lie in different banks
};

// y runs along the columns, x along the rows, and both are read and written in whole lines. The
// planes are what the other dimensions count.
template <class T>
struct Transpose {
  const T* x;
  T* y;
  StridedShape<2> planes;
  int64_t rows, columns, x_column, y_row;  // strides
  int64_t squares_down, squares_across, squares;
};

template <class T>
__global__ void __launch_bounds__(kSide* kRows) transpose_kernel(Transpose<T> t) {
  Square<T>& square = *shared_memory<Square<T>>();
  for (int64_t i = blockIdx.x; i < t.squares; i += gridDim.x) {
    const int64_t column = i % t.squares_across * kSide, row = i / t.squares_across % t.squares_down * kSide;
    int64_t plane = i / t.squares_across / t.squares_down;
    const T* x = t.x;
    T* y = t.y;
    for (int d = t.planes.ndim - 1; d >= 0; --d) {
      x += plane % t.planes.size[d] * t.planes.stride[1][d];
      y += plane % t.planes.size[d] * t.planes.stride[0][d];
      plane /= t.planes.size[d];
    }
    const int lane = static_cast<int>(threadIdx.x);
    for (int k = static_cast<int>(threadIdx.y); k < kSide; k += kRows)
      if (row + lane < t.rows && column + k < t.columns) square.x[k][lane] = x[row + lane + (column + k) * t.x_column];
    __syncthreads();
    for (int k = static_cast<int>(threadIdx.y); k < kSide; k += kRows)
      if (row + k < t.rows && column + lane < t.columns) y[(row + k) * t.y_row + column + lane] = square.x[lane][k];
    __syncthreads();
  }
}

// With y along the last dimension and x along dimension d.
template <class T>
void transposed_copy(Stream& s, const CopyArgs<T>& a, int d) {
  const StridedShape<2>& z = a.shape;
  const int last = z.ndim - 1;
  Transpose<T> t{};
  t.x = a.x;
  t.y = a.y;
  for (int k = 0; k < last; ++k) {
    if (k == d) continue;
    const int at = t.planes.ndim++;
    t.planes.size[at] = z.size[k];
    for (int array = 0; array < 2; ++array) t.planes.stride[array][at] = z.stride[array][k];
  }
  t.rows = z.size[d];
  t.columns = z.size[last];
  t.x_column = z.stride[1][last];
  t.y_row = z.stride[0][d];
  t.squares_down = div_up(t.rows, kSide);
  t.squares_across = div_up(t.columns, kSide);
  t.squares = z.numel() / (t.rows * t.columns) * t.squares_down * t.squares_across;
  start(s, &transpose_kernel<T>, blocks_for(t.squares, 1), dim3(kSide, kRows), sizeof(Square<T>), t);
}

template <class To, class From>
void cast_to(Stream& s, const CastArgs<From>& args) {
  using Larger = std::conditional_t<(sizeof(To) > sizeof(From)), To, From>;
  for_packs<Larger>(s, args.n, [a = args] __device__(auto at) {
    at.store(static_cast<To*>(a.y), each(at.load(a.x), [](From x) { return static_cast<To>(x); }));
  });
}

}  // namespace

template <class T>
void strided_copy(Stream& s, const CopyArgs<T>& args) {
  const StridedShape<2>& z = args.shape;
  const int64_t n = z.numel(), last = z.ndim - 1, sy = z.stride[0][last], sx = z.stride[1][last];
  if (n == 0) return;
  if (z.ndim == 1 && sy == 1 && sx == 1)
    return for_packs<T>(s, n, [a = args] __device__(auto at) { at.store(a.y, at.load(a.x)); });
  constexpr int64_t kEnough = 8;  // with fewer rows or columns most of a square would be empty
  for (int d = 0; d < last && sy == 1 && sx > 1 && z.size[last] >= kEnough; ++d)
    if (z.stride[1][d] == 1 && z.size[d] >= kEnough) return transposed_copy(s, args, d);
  for_each_strided(s, z, [a = args] __device__(const int64_t* at) { a.y[at[0]] = a.x[at[1]]; });
}

template <class From>
void cast(Stream& s, const CastArgs<From>& a) {
  visit_all(a.to, [&]<class To>() { cast_to<To>(s, a); });
}

template <class T>
void fill(Stream& s, const FillArgs<T>& args) {
  for_packs<T>(s, args.n, [a = args] __device__(auto at) { at.store(a.x, Vec<T>(a.value)); });
}

#include "isa/instantiate.h"
#include "ops/copy/kernels.inc"

}  // namespace fnn::cuda
