// The gradient of the weight where groups are thin. It is a sum over all output pixels, made in
// chunks of them that the sizes alone decide and added up in order: the same bits on every GPU.
#pragma once

#include "ops/conv2d/tail.cuh"

namespace fnn::cuda {

// WeightChunks of the output pixels of all images.
struct WeightChunks {
  int64_t pixels, size, count;
  Divisor plane, row;

  // For sums in `tiles` parts: enough chunks for a large GPU, but none too short.
  WeightChunks(const ConvShape& s, int64_t tiles) : pixels(s.n * s.oh * s.ow), plane(s.oh * s.ow), row(s.ow) {
    constexpr int64_t kBlocks = 512, kShortest = 256, kLongest = 1 << 30;
    const int64_t wanted = kBlocks / tiles > 1 ? kBlocks / tiles : 1;
    size = div_up(div_up(pixels, wanted), kShortest) * kShortest;
    if (size > kLongest) size = kLongest;
    count = div_up(pixels, size);
  }
};

// The pixels of one chunk by number.
struct Chunk {
  struct Pixel {
    int64_t n;
    int y, x;
  };
  int64_t n;
  int first, size;  // of image n
  Divisor plane, row;

  __device__ Chunk(const WeightChunks& c, int64_t i)
      : n(i * c.size / c.plane.by()),
        first(static_cast<int>(i * c.size - n * c.plane.by())),
        size(static_cast<int>(c.pixels - i * c.size < c.size ? c.pixels - i * c.size : c.size)),
        plane(c.plane),
        row(c.row) {}
  __device__ Pixel operator()(int i) const {
    const int at = first + i, images = plane(at), within = at - images * plane.by(), y = row(within);
    return {n + images, y, within - y * row.by()};
  }
};

// Sums (chunks, rows, o): row tap (c / groups) + i is weight (o, i, tap).
template <class T>
struct WeightSums {
  Axis y, x;
  int inputs, outputs, o;  // channels of a group, and all that come out
  WeightChunks chunks;
  Map<T> in;
  T* sums;

  WeightSums(Stream& s, const ConvShape& z, const Map<T>& in_, const WeightChunks& c)
      : y(axis_y(z)),
        x(axis_x(z)),
        inputs(static_cast<int>(z.c / z.groups)),
        outputs(static_cast<int>(z.o / z.groups)),
        o(static_cast<int>(z.o)),
        chunks(c),
        in(in_),
        sums(static_cast<T*>(workspace(s, c.count * z.weights() * sizeof(T)))) {}

  FNN_INLINE int rows() const { return y.taps * x.taps * inputs; }
  FNN_INLINE int64_t numbers() const { return int64_t{rows()} * o; }
};

constexpr int kSumColumns = 32, kSumParts = 8;

// A block adds up the chunks of 32 neighbours; each of its warps takes every eighth chunk.
template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumParts) weight_sums_kernel(WeightSums<T> a, ConvShape s, T* dw) {
  T* shared = shared_memory<T>();  // (kSumParts, kSumColumns)
  const int column = threadIdx.x % kSumColumns, part = threadIdx.x / kSumColumns;
  const int64_t numbers = a.numbers();
  for (int64_t first = int64_t{blockIdx.x} * kSumColumns; first < numbers; first += int64_t{gridDim.x} * kSumColumns) {
    const int64_t i = first + column;
    T sum = T(0);
    if (i < numbers)
#pragma unroll 4
      for (int64_t chunk = part; chunk < a.chunks.count; chunk += kSumParts) sum = sum + a.sums[chunk * numbers + i];
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (part == 0 && i < numbers) {
      for (int p = 1; p < kSumParts; ++p) sum = sum + shared[p * kSumColumns + column];
      const int row = static_cast<int>(i / a.o), tap = row / a.inputs, ky = tap / a.x.taps;
      dw[i % a.o * s.ws[0] + row % a.inputs * s.ws[1] + ky * s.ws[2] + (tap - ky * a.x.taps) * s.ws[3]] = sum;
    }
    __syncthreads();
  }
}

constexpr int kThinThreads = 256, kThinRows = 9;  // 3 x 3 weights

// A block makes kThinRows rows of the sums of one chunk for up to 32 outputs. Its threads share
// out outputs and pixels, and add up what they have at the end.
template <class T, class Dz>
__global__ void __launch_bounds__(kThinThreads) thin_weight_kernel(WeightSums<T> a, Dz dz, int width, int slabs) {
  T* shared = shared_memory<T>();  // (kThinRows, kThinThreads)
  const Chunk pixels(a.chunks, blockIdx.x / slabs);
  const int lane = threadIdx.x % width, o = static_cast<int>(blockIdx.x % slabs) * width + lane;
  const int first_row = blockIdx.y * kThinRows, parts = kThinThreads / width;

  T sum[kThinRows];
  int dy[kThinRows], dx[kThinRows], channel[kThinRows];
#pragma unroll
  for (int r = 0; r < kThinRows; ++r) {
    const int row = first_row + r, tap = row / a.inputs;
    sum[r] = T(0);
    dy[r] = tap / a.x.taps * a.y.dilation - a.y.pad;
    dx[r] = tap % a.x.taps * a.x.dilation - a.x.pad;
    channel[r] = row < a.rows() ? o / a.outputs * a.inputs + row % a.inputs : -1;
  }
  if (o < a.o)
    for (int i = threadIdx.x / width; i < pixels.size; i += parts) {
      const Chunk::Pixel p = pixels(i);
      const T g = dz.template load<1>(dz.at(p.n, p.y, p.x), o).v[0];
#pragma unroll
      for (int r = 0; r < kThinRows; ++r)
        if (channel[r] >= 0)
          sum[r] = fma(
              a.in.template load<1>(a.in.at(p.n, p.y * a.y.stride + dy[r], p.x * a.x.stride + dx[r]), channel[r]).v[0],
              g, sum[r]);
    }
#pragma unroll
  for (int r = 0; r < kThinRows; ++r) shared[r * kThinThreads + threadIdx.x] = sum[r];
  __syncthreads();
  for (int i = threadIdx.x; i < kThinRows * width; i += kThinThreads) {
    const int r = i / width, column = i % width, to = static_cast<int>(blockIdx.x % slabs) * width + column;
    T total = T(0);
    for (int part = 0; part < parts; ++part) total = total + shared[r * kThinThreads + part * width + column];
    if (first_row + r < a.rows() && to < a.o)
      a.sums[(blockIdx.x / slabs * a.rows() + first_row + r) * a.o + to] = total;
  }
}

// Whether a product's tiles would be mostly empty.
inline bool thin_weight_pays(const ConvShape& s) {
  constexpr int kFewInputs = 4, kFewOutputs = 16;
  return s.groups > 1 && (s.c / s.groups < kFewInputs || s.o / s.groups < kFewOutputs);
}

template <class T, class Dz>
void thin_weight_gradient(Stream& s, const ConvShape& z, const Map<T>& in, const Dz& dz, T* dw) {
  int width = 1;
  while (width < 32 && width < z.o) width *= 2;
  const int64_t slabs = div_up(z.o, width), batches = div_up(z.kh * z.kw * (z.c / z.groups), kThinRows);
  const WeightSums<T> sums(s, z, in, WeightChunks(z, slabs * batches));
  const dim3 grid(static_cast<unsigned>(slabs * sums.chunks.count), static_cast<unsigned>(batches));
  start(s, &thin_weight_kernel<T, Dz>, grid, kThinThreads, kThinRows * kThinThreads * sizeof(T), sums, dz, width,
        static_cast<int>(slabs));
  start(s, &weight_sums_kernel<T>, blocks_for(sums.numbers(), kSumColumns), kSumColumns * kSumParts,
        kSumColumns * kSumParts * sizeof(T), sums, z, dw);
}

}  // namespace fnn::cuda
