// The loops around the register tile, after Goto and van de Geijn ("Anatomy of high-performance
// matrix multiplication", 2008): panels of B are copied, as many as the third-level cache holds, and
// some tiles of A, as many as the second level holds; a panel of B then stays in the first level
// while those tiles pass over it. Threads share out rows and columns, never k: every element of C
// is summed in one order.
#pragma once

#include "tile/dots.h"
#include "tile/gemm.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

constexpr int64_t kDepthBytes = 2048;        // of k in one pass, when k is long
constexpr int64_t kBlockBytes = 4 << 20;     // packed B at once
constexpr int64_t kChunkBytes = 192 << 10;   // tiles of A at once
constexpr int64_t kNoPackBytes = 512 << 10;  // a smaller B is read where it lies
constexpr int64_t kSplitWork = 1 << 18;      // multiply-adds below which a second thread costs more than it brings
constexpr int64_t kLargeWork = 1 << 24;      // from which threads pack together
constexpr int64_t kStrip = 8;                // tiles in one call
constexpr int64_t kFewRows = 32;             // of A, up to which packing B costs more than it brings
constexpr int64_t kLongDot = 8;              // vectors, of which the sum over lanes is a small part
constexpr int64_t kShallow = 64;             // of k in one pass then: B's rows stay near from tile to tile

// A stride that sends every row to the same few sets of the cache.
template <class T>
FNN_INLINE bool bad_stride(int64_t ld) {
  return ld * static_cast<int64_t>(sizeof(T)) % 512 == 0;
}

FNN_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
FNN_INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

// n in equal parts of at most `most`: the size of one.
FNN_INLINE int64_t evenly(int64_t n, int64_t most) {
  return n > 0 ? divide_up(n, divide_up(n, most > 1 ? most : 1)) : 1;
}

// Rows [k0, k0 + kk) of `cols` columns of B from column n0, in panels.
template <class T>
void pack_b_block(const Gemm<T>& g, int64_t k0, int64_t kk, int64_t n0, int64_t cols, T* packed) {
  constexpr int W = kTileCols<T>;
  if (g.b_transposed)
    for (int64_t c = 0; c < cols; c += W)
      pack_transposed_panel(g.b + (n0 + c) * g.ldb + k0, g.ldb, kk, lesser(cols - c, W), packed + c * kk);
  else
    for (int64_t r = 0; r < kk; ++r) pack_row(g.b + (k0 + r) * g.ldb + n0, cols, kk, r, packed);
}

// How a product is cut up.
template <class T>
struct Cut {
  int64_t depth;  // of k in one pass
  bool pack_a, pack_b;
  int64_t tile_rows, tiles, panels;
  int64_t tile_size;  // of a packed tile of A
  int64_t chunk;      // tiles of A at once, at most

  explicit Cut(const Gemm<T>& g) {
    constexpr int64_t kSize = sizeof(T), kDepth = kDepthBytes / kSize;
    static_assert(2 * kOnePass<T> == 3 * kDepth);
    const bool large_a = g.m * g.k * kSize > kNoPackBytes, large_b = g.k * g.n * kSize > kNoPackBytes;
    // Not for columns: a gradient that is not kept is summed in one pass, and kept it has the same bits.
    const bool few = g.m <= kFewRows && large_b && g.a_layout == ALayout::rows;
    const int64_t passes = few ? divide_up(g.k, kShallow) : g.k > kOnePass<T> ? divide_up(g.k, kDepth) : 1;
    depth = g.k > 0 ? divide_up(g.k, passes) : 1;
    pack_b = g.b_transposed || (g.m > kMaxRows && large_b && !few) || (g.m > 64 && bad_stride<T>(g.ldb));
    pack_a = large_a && g.n >= 16 * kTileCols<T>;  // or it costs more than it brings
    tile_rows = even_rows(g.m), tiles = divide_up(g.m, tile_rows), panels = divide_up(g.n, kTileCols<T>);
    tile_size = depth * tile_rows;
    chunk = kChunkBytes / (tile_rows * depth * kSize);
  }
  int64_t block(int64_t of) const {  // panels of packed B at once, of so many
    return evenly(of, kBlockBytes / (depth * kTileCols<T> * static_cast<int64_t>(sizeof(T))));
  }
  int64_t packed_a_elements(int64_t of) const { return pack_a ? evenly(of, chunk) * tile_size + Vec<T>::N : 0; }
};

// Tiles [t0, t1) times panels [b0, b1), over k from k0 to k0 + kk. `packed_b` are these panels, or null.
template <class T, class Finish>
void multiply_block(const Gemm<T>& g, const Cut<T>& cut, int64_t t0, int64_t t1, int64_t b0, int64_t b1, int64_t k0,
                    int64_t kk, const T* packed_b, T* packed_a, const Finish& finish) {
  constexpr int W = kTileCols<T>;
  const bool by_rows = g.a_layout == ALayout::rows;
  const int64_t chunk = evenly(t1 - t0, cut.chunk), a_step = cut.tile_rows * (by_rows ? g.lda : 1), zero = 0;
  alignas(64) T only_piece[kMaxRows * W];
  Tile<T> tile;
  tile.a_step = cut.pack_a ? cut.tile_size : a_step;
  tile.layout = cut.pack_a ? ALayout::columns : g.a_layout;
  tile.k = {&zero, 1, kk};
  tile.ldb = packed_b ? W : g.ldb;
  tile.b_padded = packed_b;
  tile.ldc = g.c ? g.ldc : W;
  tile.c_step = cut.tile_rows * tile.ldc;
  tile.accumulate = g.accumulate || k0 > 0;
  tile.descent = g.descent;
  for (int64_t c0 = t0; c0 < t1; c0 += chunk) {
    const int64_t c1 = lesser(c0 + chunk, t1);
    const T* a = g.a + (by_rows ? k0 : k0 * g.lda) + c0 * a_step;
    if (cut.pack_a) {
      for (int64_t t = c0; t < c1; ++t)
        pack_a_tile(a + (t - c0) * a_step, g.lda, g.a_layout, kk, lesser(g.m - t * cut.tile_rows, cut.tile_rows),
                    packed_a + (t - c0) * cut.tile_size);
      a = packed_a;
    }
    for (int64_t p = b0; p < b1; ++p) {
      tile.cols = static_cast<int>(lesser(g.n - p * W, W));
      tile.b = packed_b ? packed_b + (p - b0) * kk * W : g.b + k0 * g.ldb + p * W;
      tile.bias = g.bias ? g.bias + p * W : nullptr;
      for (int64_t t = c0; t < c1; t += tile.count) {
        const int64_t row = t * cut.tile_rows, whole = lesser(c1, g.m / cut.tile_rows) - t;
        tile.count = whole > 0 ? lesser(whole, g.c ? kStrip : 1) : 1;
        tile.rows = static_cast<int>(whole > 0 ? cut.tile_rows : g.m - row);
        tile.a = a + (t - c0) * tile.a_step;
        tile.lda = cut.pack_a ? tile.rows : g.lda;
        tile.c = g.c ? g.c + row * g.ldc + p * W : only_piece;
        run_tile(tile);
        if (k0 + kk >= g.k)
          finish(Piece<T>{tile.c, tile.ldc, row, p * W, static_cast<int>(tile.count) * tile.rows, tile.cols});
      }
    }
  }
}

// Large products: the threads pack a block of B together, and then share out the tiles of A.
template <class T, class Finish>
void gemm_large(Stream& s, const Gemm<T>& g, const Cut<T>& cut, const Finish& finish) {
  constexpr int W = kTileCols<T>;
  const int64_t block = cut.block(cut.panels);
  T* packed = static_cast<T*>(s.workspace(cut.depth * block * W * sizeof(T)));
  const int64_t shares = divide_up(cut.tiles, lesser(cut.chunk, divide_up(cut.tiles, 4 * s.threads)));
  for (int64_t b0 = 0; b0 < cut.panels; b0 += block)
    for (int64_t k0 = 0; k0 < g.k; k0 += cut.depth) {
      const int64_t b1 = lesser(b0 + block, cut.panels), kk = lesser(g.k - k0, cut.depth);
      parallel_for(s, b1 - b0, divide_up(b1 - b0, 4 * s.threads), [&](int64_t begin, int64_t end) {
        const int64_t column = (b0 + begin) * W;
        pack_b_block(g, k0, kk, column, lesser((b0 + end) * W, g.n) - column, packed + begin * kk * W);
      });
      parallel_for(s, shares, 1, [&](int64_t share, int64_t) {
        const int64_t t0 = cut.tiles * share / shares, t1 = cut.tiles * (share + 1) / shares;
        T* packed_a = static_cast<T*>(Stream::thread_workspace(cut.packed_a_elements(t1 - t0) * sizeof(T) + 1));
        multiply_block(g, cut, t0, t1, b0, b1, k0, kk, packed, packed_a, finish);
      });
    }
}

// B transposed and few rows of A: threads share out columns.
template <class T, class Finish>
void gemm_dots(Stream& s, const Gemm<T>& g, const Finish& finish) {
  constexpr int64_t W = 8 * kDotCols;
  const int64_t panels = divide_up(g.n, W);
  const int64_t shares = lesser(panels, g.m * g.n * g.k < kSplitWork ? 1 : g.by_columns ? s.threads : 2 * s.threads);
  parallel_for(s, shares, 1, [&](int64_t share, int64_t) {
    for (int64_t p = panels * share / shares; p < panels * (share + 1) / shares; ++p) {
      const int64_t col = p * W, cols = lesser(g.n - col, W);
      const T* bias = g.bias ? g.bias + col : nullptr;
      run_dots(Dots<T>{g.a, g.lda, g.b + col * g.ldb, g.ldb, g.m, cols, g.k, g.c + col, g.ldc, g.accumulate, bias});
      finish(Piece<T>{g.c + col, g.ldc, 0, col, static_cast<int>(g.m), static_cast<int>(cols)});
    }
  });
}

// Rounding and packing both operands costs some twenty rows or columns of the product.
template <class T>
FNN_INLINE bool bf16_pays(const Gemm<T>& g) {
  return g.m >= 32 && g.n >= 32 && g.k >= 32;
}

template <class T, class Finish>
void gemm(Stream& s, const Gemm<T>& g, const Finish& finish) {
  constexpr int W = kTileCols<T>;
  if (g.m == 0 || g.n == 0) return;
  if constexpr (kHasBf16<T>)
    if (g.bf16 && bf16_pays(g)) return gemm_bf16(s, g, finish);
  if (g.b_transposed && g.a_layout == ALayout::rows && g.m <= kFewRows && g.k >= kLongDot * Vec<T>::N)
    return gemm_dots(s, g, finish);
  const Cut<T> cut(g);
  const int64_t work = g.m * g.n * g.k;
  if (s.threads > 1 && cut.pack_a && cut.pack_b && work > kLargeWork) return gemm_large(s, g, cut, finish);

  // Each thread has a task of its own that packs the panels it needs. Columns are shared out
  // first, but for a tall C whose rows are not whole lines of the cache: two threads would write
  // to the lines between them. More tasks than threads, for one that is held up; but not where a
  // thread is to have the same columns each time.
  const int64_t wanted = s.threads == 1 || work < kSplitWork ? 1 : g.by_columns ? s.threads : 2 * s.threads;
  const bool tall = g.m >= g.n && g.ldc * static_cast<int64_t>(sizeof(T)) % 64 != 0;
  const int64_t across = tall ? 1 : lesser(cut.panels, lesser(wanted, s.threads));
  const int64_t down = lesser(cut.tiles, divide_up(wanted, across));
  parallel_for(s, across * down, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t p0 = cut.panels * (task / down) / across, p1 = cut.panels * (task / down + 1) / across;
      const int64_t t0 = cut.tiles * (task % down) / down, t1 = cut.tiles * (task % down + 1) / down;
      const int64_t block = cut.pack_b ? cut.block(p1 - p0) : cut.panels;
      const int64_t packed_size = cut.pack_b ? cut.depth * block * W : 0;
      T* packed =
          static_cast<T*>(Stream::thread_workspace((packed_size + cut.packed_a_elements(t1 - t0)) * sizeof(T) + 1));
      for (int64_t b0 = p0; b0 < p1; b0 += block)
        for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += cut.depth) {
          const int64_t b1 = lesser(b0 + block, p1), kk = lesser(g.k - k0, cut.depth);
          if (cut.pack_b) pack_b_block(g, k0, kk, b0 * W, lesser(b1 * W, g.n) - b0 * W, packed);
          multiply_block(g, cut, t0, t1, b0, b1, k0, kk, cut.pack_b ? packed : nullptr, packed + packed_size, finish);
        }
    }
  });
}

}  // namespace fnn::FNN_ISA
