#include "core/stream.h"
#include "ops/conv2d/data_gradient.h"
#include "ops/conv2d/depthwise.h"
#include "ops/conv2d/planar.h"
#include "ops/conv2d/tail.h"
#include "ops/conv2d/tile.h"
#include "ops/conv2d/weight_gradient.h"
#include "ops/conv2d/winograd.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

// A tile (4, 4, o) at (4 ty, 4 tx) of image n, as far as it lies in y (n, oh, ow, o).
template <class T>
void store_tile(const Winograd<T>& a, const ConvTail& tail, int64_t n, int64_t ty, int64_t tx, const T* tile, T* y,
                uint8_t* cell) {
  const int64_t row = 4 * a.o, down = a.oh - 4 * ty < 4 ? a.oh - 4 * ty : 4;
  const int64_t across = a.ow - 4 * tx < 4 ? a.ow - 4 * tx : 4;
  if (tail.pool) {
    for (int64_t r = 0; r + 2 <= down; r += 2) {
      const int64_t at = ((n * (a.oh / 2) + 2 * ty + r / 2) * (a.ow / 2) + 2 * tx) * a.o;
      pool_rows(tail, tile + r * row, row, across / 2, a.o, y + at, cell + at);
    }
    return;
  }
  for (int64_t r = 0; r < down; ++r) {
    T* to = y + ((n * a.oh + 4 * ty + r) * a.ow + 4 * tx) * a.o;
    __builtin_memcpy(to, tile + r * row, across * a.o * sizeof(T));
    if (tail.has_activation) activate(tail, to, across * a.o);
  }
}

// Rows of images that lie in memory as they are.
template <class T>
struct RowsOf {
  const T* x;
  int64_t rows, row;
  const T* operator()(int64_t n, int64_t begin, int64_t, T*) const { return x + (n * rows + begin) * row; }
};

template <class T>
void winograd_fwd(Stream& s, const Conv2dFwdArgs<T>& a, const Winograd<T>& tiles) {
  winograd(s, tiles, RowsOf<T>{a.x, a.s.h, a.s.w * a.s.c}, [&](int64_t n, int64_t ty, int64_t tx, const T* tile) {
    store_tile(tiles, a.tail, n, ty, tx, tile, a.y, a.cell);
  });
}

// dx and dw, as far as the rule lets them; the rest of `a` remains to be done.
template <class T>
void winograd_bwd(Stream& s, Conv2dBwdArgs<T>& a) {
  const auto gradient = [&](int64_t n, int64_t begin, int64_t end, T* scratch) -> const T* {
    if (a.tail.empty()) return a.dy + (n * a.s.oh + begin) * a.s.ow * a.s.o;
    expand_gradient(a, n, begin, end, scratch);
    return scratch;
  };
  if (const auto tiles = winograd_backward(a.s, a.w); a.dx && winograd_pays(a.s, tiles)) {
    winograd(s, tiles, gradient, [&](int64_t n, int64_t ty, int64_t tx, const T* tile) {
      store_tile(tiles, ConvTail{}, n, ty, tx, tile, a.dx, nullptr);
    });
    a.dx = nullptr;
  }
  if (const auto tiles = winograd_forward<T>(a.s, nullptr, nullptr); a.dw && winograd_pays(a.s, tiles)) {
    winograd_weight(s, tiles, RowsOf<T>{a.x, a.s.h, a.s.w * a.s.c}, gradient, a.dw);
    a.dw = nullptr;
  }
}

template <class T>
void conv2d_fwd(Stream& s, const Conv2dFwdArgs<T>& a) {
  const ConvShape& z = a.s;
  if (lanes_pay<T>(z.groups, z.o / z.groups)) return lane_forward(s, a);
  if (const auto tiles = winograd_forward(z, a.w, a.b); winograd_pays(z, tiles)) return winograd_fwd(s, a, tiles);
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, depth = z.kh * z.kw * cg;
  const int64_t group_size = packed_size<T>(depth, og);
  const bool planar = suits_planar<T>(z);
  // A window row is one run where its pixels touch: undilated, all channels.
  const bool runs = z.groups == 1 && z.dilation_w == 1;
  const int64_t segments = planar ? z.kh * z.c : runs ? z.kh : z.kh * z.kw;
  T* packed = static_cast<T*>(s.workspace(z.groups * group_size * sizeof(T) + segments * sizeof(int64_t)));
  int64_t* offsets = reinterpret_cast<int64_t*>(packed + z.groups * group_size);
  planar ? pack_planar(a.w, z, packed) : pack_kernel(s, a.w, z, packed);

  const bool padded = z.top || z.left || z.bottom || z.right;
  const int64_t width = z.left + z.w + z.right;
  for (int64_t i = 0; i < segments; ++i) {
    const int64_t ky = runs ? i : i / z.kw, kx = runs ? 0 : i % z.kw;
    offsets[i] = planar ? i * z.kw * even_rows(z.o) : (ky * z.dilation_h * width + kx * z.dilation_w) * z.c;
  }
  const Segments k{offsets, segments, planar ? z.kw : runs ? z.kw * z.c : cg};

  // An image a task, or part of one when there are few images.
  const int64_t out_rows = a.tail.pool ? z.oh / 2 * 2 : z.oh, out_pixels = a.tail.pool ? z.ow / 2 * 2 : z.ow;
  int64_t blocks = z.n >= 4 * s.threads ? 1 : (4 * s.threads + z.n - 1) / z.n;
  if (blocks > out_rows) blocks = out_rows > 0 ? out_rows : 1;
  int64_t block_rows = (out_rows + blocks - 1) / blocks;
  if (a.tail.pool) block_rows += block_rows % 2;
  parallel_for(s, z.n * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / blocks, row = i % blocks * block_rows;
      const int64_t rows = out_rows - row < block_rows ? out_rows - row : block_rows;
      if (rows <= 0) continue;
      const T* src = a.x + (n * z.h + row * z.stride_h) * z.w * z.c;
      const int64_t y0 = row * z.stride_h - z.top;
      const int64_t y1 = y0 + (rows - 1) * z.stride_h + (z.kh - 1) * z.dilation_h + 1;
      const int64_t x_size = (y1 - y0) * width * z.c, padded_size = padded ? x_size : 0;
      const int64_t split_size = planar && z.c > 1 ? x_size : 0;
      // A tail works on strips of rows that stay in the cache.
      const int64_t strip = a.tail.empty() ? rows : a.tail.pool ? 2 : 1, strip_size = a.tail.pool ? 2 * z.ow * z.o : 0;
      const int64_t planes_size = planar ? z.o * whole_vectors<T>(z.ow) : 0;
      T* scratch = static_cast<T*>(
          Stream::thread_workspace((padded_size + split_size + strip_size + planes_size) * sizeof(T) + 1));
      T *split = scratch + padded_size, *z_rows = split + split_size, *planes = z_rows + strip_size;
      if (padded) {
        pad_rows(a.x + n * z.h * z.w * z.c, z.h, z.w, z.c, y0, y1, z.left, z.right, scratch);
        src = scratch;
      }
      if (split_size) {
        split_channels(src, y1 - y0, width, z.c, split);
        src = split;
      }
      for (int64_t r = 0; r < rows; r += strip) {
        T* dst = a.tail.pool ? z_rows : a.y + (n * z.oh + row + r) * z.ow * z.o;
        for (int64_t g = 0; g < z.groups; ++g) {
          const Slide<T> part{src + r * z.stride_h * width * z.c + g * cg,
                              z.stride_h * width * z.c,
                              z.stride_w * z.c,
                              k,
                              packed + g * group_size,
                              a.b ? a.b + g * og : nullptr,
                              dst + g * og,
                              z.ow * z.o,
                              z.o,
                              strip,
                              out_pixels,
                              og};
          planar ? slide_planar(part, z, width, planes) : slide(part);
        }
        if (a.tail.pool) {
          const int64_t at = (n * (z.oh / 2) + (row + r) / 2) * (z.ow / 2) * z.o;
          pool_rows(a.tail, dst, z.ow * z.o, z.ow / 2, z.o, a.y + at, a.cell + at);
        } else if (a.tail.has_activation) {
          activate(a.tail, dst, z.ow * z.o);
        }
      }
    }
  });
}

// One task of backward: images [n0, n1), or some output rows of one image.
struct Unit {
  int64_t n0, n1, row0, row1;
};

template <class T, class Data, class Weight>
void backward(Stream& s, const Conv2dBwdArgs<T>& a) {
  const ConvShape& z = a.s;
  Data data(a);
  const Weight weight(a);

  // The sums of weight gradients are made in units that the sizes alone decide, and added
  // up in order: runs of images, or parts of images when there are few.
  constexpr int64_t kUnits = 8;
  const int64_t per_image = z.n >= kUnits ? 1 : (kUnits + z.n - 1) / z.n;
  const int64_t parts = per_image < z.oh ? per_image : z.oh;  // of an image
  const int64_t units = z.n >= kUnits ? kUnits : z.n * parts;
  const auto unit = [&](int64_t i) {
    if (z.n >= kUnits) return Unit{z.n * i / units, z.n * (i + 1) / units, 0, z.oh};
    const int64_t n = i / parts, part = i % parts;
    return Unit{n, n + 1, z.oh * part / parts, z.oh * (part + 1) / parts};
  };
  const bool whole_images = parts == 1 || z.n >= kUnits;

  // Images that are worked on together: their x and dz stay in the second-level cache.
  constexpr int64_t kCached = (512 << 10) / static_cast<int64_t>(sizeof(T));
  const int64_t outputs = z.oh * z.ow * z.o, fit = kCached / (weight.image_elements() + outputs + 1);
  const int64_t most = z.n >= kUnits ? (z.n + units - 1) / units : 1, group = fit < 1 ? 1 : fit < most ? fit : most;

  const auto whole = [](int64_t elements) { return (elements + 15) / 16 * 16; };
  const int64_t packed = a.dx ? whole(data.packed_elements()) : 0;
  const int64_t sums = a.dw ? whole(units * weight.elements()) : 0, biases = a.db ? whole(units * z.o) : 0;
  T* work = static_cast<T*>(s.workspace((packed + sums + biases) * sizeof(T) + group * z.oh * sizeof(int64_t)));
  T *sum = work + packed, *bias = sum + sums;
  int64_t* offsets = reinterpret_cast<int64_t*>(bias + biases);
  if (a.dx) data.prepare(s, work);
  weight.offsets(group, z.oh, offsets);

  const int64_t dz_size = a.tail.empty() ? 0 : whole(group * outputs);
  const int64_t data_size = a.dx ? whole(data.scratch_elements()) : 0;
  const int64_t scratch_size = dz_size + data_size + (a.dw ? weight.scratch_elements(group) : 0);
  const auto dz_of = [&](int64_t n, int64_t images, T* scratch) -> const T* {
    if (a.tail.empty()) return a.dy + n * outputs;
    for (int64_t i = 0; i < images; ++i) expand_gradient(a, n + i, 0, z.oh, scratch + i * outputs);
    return scratch;
  };

  if (a.dx && !whole_images)
    parallel_for(s, z.n, 1, [&](int64_t begin, int64_t end) {
      T* scratch = static_cast<T*>(Stream::thread_workspace(scratch_size * sizeof(T) + 1));
      for (int64_t n = begin; n < end; ++n)
        data.image(dz_of(n, 1, scratch), a.dx + n * z.h * z.w * z.c, scratch + dz_size);
    });
  parallel_for(s, units, 1, [&](int64_t begin, int64_t end) {
    T* scratch = static_cast<T*>(Stream::thread_workspace(scratch_size * sizeof(T) + 1));
    for (int64_t i = begin; i < end; ++i) {
      const Unit u = unit(i);
      for (int64_t n = u.n0; n < u.n1; n += group) {
        const int64_t images = u.n1 - n < group ? u.n1 - n : group;
        const T* dz = dz_of(n, images, scratch);
        for (int64_t j = 0; a.dx && whole_images && j < images; ++j)
          data.image(dz + j * outputs, a.dx + (n + j) * z.h * z.w * z.c, scratch + dz_size);
        const T* rows = dz + u.row0 * z.ow * z.o;
        const int64_t count = u.row1 - u.row0;
        if (a.dw)
          weight.add(n, images, u.row0, count, rows, offsets, n > u.n0, sum + i * weight.elements(),
                     scratch + dz_size + data_size);
        if (a.db) column_sums(rows, images * count * z.ow, z.o, bias + i * z.o, z.o, n > u.n0);
      }
    }
  });
  if (a.dw) weight.finish(s, sum, units);
  if (a.db) column_sums(bias, units, z.o, a.db, z.o);
}

template <class T>
void conv2d_bwd(Stream& s, const Conv2dBwdArgs<T>& all) {
  Conv2dBwdArgs<T> a = all;
  if (a.s.winograd) winograd_bwd(s, a);
  if (!a.dx && !a.dw && !a.db) return;
  const int64_t cg = a.s.c / a.s.groups, og = a.s.o / a.s.groups;
  // Columns of a tile are a group's inputs for dx, its outputs for dw.
  if (lanes_pay<T>(a.s.groups, a.dx && cg < og ? cg : og))
    backward<T, LaneDataGradient<T>, LaneWeightGradient<T>>(s, a);
  else
    backward<T, DataGradient<T>, WeightGradient<T>>(s, a);
}

#include "isa/instantiate.h"
#include "ops/conv2d/kernels.inc"

}  // namespace fnn::FNN_ISA
