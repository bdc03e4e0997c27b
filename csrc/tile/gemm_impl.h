// The loops around the register tile, after Goto and van de Geijn ("Anatomy of high-performance
// matrix multiplication", 2008). A task owns a block of C. It copies the panels of B that it needs,
// as many as the third-level cache holds, and some tiles of A, as many as the second level holds;
// a panel of B then stays in the first level while those tiles pass over it. Tasks share out the
// columns first, so that none copies what another has copied, and never k: every element of C is
// summed in one order.
#pragma once

#include "tile/gemm.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

constexpr int64_t kDepthBytes = 2048;        // of k in one pass, when k is long
constexpr int64_t kBlockBytes = 4 << 20;     // packed B at once
constexpr int64_t kChunkBytes = 192 << 10;   // tiles of A at once
constexpr int64_t kNoPackBytes = 512 << 10;  // a smaller B is read where it lies
constexpr int64_t kSplitWork = 1 << 19;      // multiply-adds below which a second thread costs more than it brings
constexpr int64_t kStrip = 8;                // tiles in one call

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

template <class T, class Finish>
void gemm(Stream& s, const Gemm<T>& g, const Finish& finish) {
  constexpr int W = kTileCols<T>;
  constexpr int64_t kSize = sizeof(T), kDepth = kDepthBytes / kSize;
  static_assert(2 * kOnePass<T> == 3 * kDepth);
  if (g.m == 0 || g.n == 0) return;
  const int64_t passes = g.k > kOnePass<T> ? divide_up(g.k, kDepth) : 1;
  const int64_t depth = g.k > 0 ? divide_up(g.k, passes) : 1;
  const bool by_rows = g.a_layout == ALayout::rows;
  const bool large_a = g.m * g.k * kSize > kNoPackBytes, large_b = g.k * g.n * kSize > kNoPackBytes;
  const bool pack_b = g.b_transposed || (g.m > kMaxRows && large_b) || (g.m > 64 && bad_stride<T>(g.ldb));
  const bool pack_a = g.n >= 4 * W && large_a;

  // More tasks than threads, for one that is held up; but not where a thread is to have
  // the same columns each time.
  const int64_t tile_rows = even_rows(g.m), tiles = divide_up(g.m, tile_rows), panels = divide_up(g.n, W);
  const int64_t wanted = s.threads == 1 || g.m * g.n * g.k < kSplitWork ? 1 : g.by_columns ? s.threads : 2 * s.threads;
  const int64_t across = lesser(panels, lesser(wanted, s.threads)), down = lesser(tiles, divide_up(wanted, across));
  // Packed rows lie a line of the cache beyond a power of two apart.
  const int64_t packed_lda = by_rows ? (depth + 15) / 16 * 16 + 16 : tile_rows;
  const int64_t tile_size = by_rows ? tile_rows * packed_lda : depth * tile_rows;

  parallel_for(s, across * down, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first_panel = panels * (task / down) / across, last_panel = panels * (task / down + 1) / across;
      const int64_t t0 = tiles * (task % down) / down, t1 = tiles * (task % down + 1) / down;
      const int64_t block = pack_b ? evenly(last_panel - first_panel, kBlockBytes / (depth * W * kSize)) : panels;
      const int64_t chunk = evenly(t1 - t0, kChunkBytes / (tile_rows * depth * kSize));
      const int64_t packed_size = pack_b ? depth * block * W : 0, packed_tiles = pack_a ? chunk : 0;
      T* packed = static_cast<T*>(Stream::thread_workspace((packed_size + packed_tiles * tile_size) * kSize + 1));
      T* packed_a = packed + packed_size;
      alignas(64) T only_piece[kMaxRows * W];

      for (int64_t b0 = first_panel; b0 < last_panel; b0 += block)
        for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += depth) {
          const int64_t b1 = lesser(b0 + block, last_panel), kk = lesser(g.k - k0, depth), zero = 0;
          if (pack_b) pack_b_block(g, k0, kk, b0 * W, lesser(b1 * W, g.n) - b0 * W, packed);
          for (int64_t c0 = t0; c0 < t1; c0 += chunk) {
            const int64_t c1 = lesser(c0 + chunk, t1);
            const T* a = g.a + (by_rows ? c0 * tile_rows * g.lda + k0 : k0 * g.lda + c0 * tile_rows);
            if (pack_a)
              for (int64_t t = c0; t < c1; ++t)
                pack_a_tile(a + (t - c0) * tile_rows * (by_rows ? g.lda : 1), g.lda, g.a_layout, kk,
                            lesser(g.m - t * tile_rows, tile_rows), packed_a + (t - c0) * tile_size, packed_lda);
            Tile<T> tile;
            tile.lda = pack_a ? packed_lda : g.lda;
            tile.a_step = pack_a ? tile_size : tile_rows * (by_rows ? g.lda : 1);
            tile.layout = g.a_layout;
            tile.k = {&zero, 1, kk};
            tile.ldb = pack_b ? W : g.ldb;
            tile.b_padded = pack_b;
            tile.ldc = g.c ? g.ldc : W;
            tile.c_step = tile_rows * tile.ldc;
            tile.accumulate = g.accumulate || k0 > 0;
            tile.descent = g.descent;
            for (int64_t p = b0; p < b1; ++p) {
              tile.cols = static_cast<int>(lesser(g.n - p * W, W));
              tile.b = pack_b ? packed + (p - b0) * kk * W : g.b + k0 * g.ldb + p * W;
              tile.bias = g.bias ? g.bias + p * W : nullptr;
              for (int64_t t = c0; t < c1;) {
                const int64_t row = t * tile_rows, whole = lesser(c1, g.m / tile_rows) - t;
                tile.count = whole > 0 ? lesser(whole, g.c ? kStrip : 1) : 1;
                tile.rows = static_cast<int>(whole > 0 ? tile_rows : g.m - row);
                tile.a = (pack_a ? packed_a : a) + (t - c0) * tile.a_step;
                tile.c = g.c ? g.c + row * g.ldc + p * W : only_piece;
                run_tile(tile);
                const int rows = static_cast<int>(tile.count) * tile.rows;
                if (k0 + kk >= g.k) finish(Piece<T>{tile.c, tile.ldc, row, p * W, rows, tile.cols});
                t += tile.count;
              }
            }
          }
        }
    }
  });
}

}  // namespace fnn::FNN_ISA
