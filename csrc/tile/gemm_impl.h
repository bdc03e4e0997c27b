// The loops around the register tile. A task owns a block of C, and copies for itself the
// panels of B that it needs: some hundred rows and columns, which stay in the second-level
// cache while the tiles of A pass over them one after the other. Tasks share out the columns
// first, so that none copies what another has copied, and never k: every element of C is
// summed in one order.
#pragma once

#include "tile/gemm.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

constexpr int64_t kDepthBytes = 2048;        // of k in one pass, when k is long: a tile of A is 28 kB
constexpr int64_t kBlockBytes = 1280 << 10;  // packed B that is at hand at once
constexpr int64_t kNoPackBytes = 512 << 10;  // a smaller B is read where it lies
constexpr int64_t kSplitWork = 3 << 19;      // multiply-adds below which a second thread costs more than it brings

// A stride that sends every row to the same few sets of the cache.
template <class T>
FNN_INLINE bool bad_stride(int64_t ld) {
  return ld * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
}

FNN_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
FNN_INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

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
  if (g.m == 0 || g.n == 0) return;
  constexpr int64_t kDepth = kDepthBytes / sizeof(T), kNoPack = kNoPackBytes / sizeof(T);  // elements
  static_assert(2 * kOnePass<T> == 3 * kDepth);
  const int64_t passes = g.k > kOnePass<T> ? divide_up(g.k, kDepth) : 1;
  const int64_t depth = g.k > 0 ? divide_up(g.k, passes) : 1;
  const bool pack_b = g.b_transposed || (g.m > kMaxRows && (g.k * g.n > kNoPack || (g.m > 64 && bad_stride<T>(g.ldb))));
  const bool pack_a = g.n >= 4 * W && (bad_stride<T>(g.lda) || (g.a_layout == ALayout::columns && g.m * g.k > kNoPack));

  // More tasks than threads, for one that is held up; but not where a thread is to have
  // the same columns each time.
  const int tile_rows = even_rows(g.m);
  const int64_t tiles = divide_up(g.m, tile_rows), panels = divide_up(g.n, W);
  const int64_t wanted = s.threads == 1 || g.m * g.n * g.k < kSplitWork ? 1 : g.by_columns ? s.threads : 2 * s.threads;
  const int64_t across = lesser(panels, lesser(wanted, s.threads)), down = lesser(tiles, divide_up(wanted, across));

  parallel_for(s, across * down, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first_panel = panels * (task / down) / across, last_panel = panels * (task / down + 1) / across;
      const int64_t t0 = tiles * (task % down) / down, t1 = tiles * (task % down + 1) / down;
      int64_t block = last_panel - first_panel;
      if (pack_b) {
        const int64_t fit = kBlockBytes / static_cast<int64_t>(sizeof(T)) / (depth * W);
        block = divide_up(block, divide_up(block, fit > 1 ? fit : 1));
      }
      const int64_t packed_size = pack_b ? depth * block * W : 0;
      T* packed =
          static_cast<T*>(Stream::thread_workspace((packed_size + (pack_a ? tile_rows * depth : 0)) * sizeof(T) + 1));
      T* packed_a = packed + packed_size;
      alignas(64) T only_piece[kMaxRows * W];

      for (int64_t p0 = first_panel; p0 < last_panel; p0 += block)
        for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += depth) {
          const int64_t p1 = lesser(p0 + block, last_panel), kk = lesser(g.k - k0, depth);
          if (pack_b) pack_b_block(g, k0, kk, p0 * W, lesser(p1 * W, g.n) - p0 * W, packed);
          for (int64_t t = t0; t < t1; ++t) {
            const int64_t row = t * tile_rows, zero = 0;
            Tile<T> tile;
            tile.rows = static_cast<int>(lesser(g.m - row, tile_rows));
            tile.a = g.a_layout == ALayout::rows ? g.a + row * g.lda + k0 : g.a + k0 * g.lda + row;
            tile.lda = g.lda;
            tile.layout = g.a_layout;
            if (pack_a) {
              pack_a_tile(tile.a, g.lda, g.a_layout, kk, tile.rows, packed_a);
              tile.a = packed_a;
              tile.lda = tile.rows;
              tile.layout = ALayout::columns;
            }
            tile.k = {&zero, 1, kk};
            tile.ldb = pack_b ? W : g.ldb;
            tile.b_padded = pack_b;
            tile.ldc = g.c ? g.ldc : W;
            tile.accumulate = g.accumulate || k0 > 0;
            tile.descent = g.descent;
            for (int64_t p = p0; p < p1; ++p) {
              tile.cols = static_cast<int>(lesser(g.n - p * W, W));
              tile.b = pack_b ? packed + (p - p0) * kk * W : g.b + k0 * g.ldb + p * W;
              tile.c = g.c ? g.c + row * g.ldc + p * W : only_piece;
              tile.bias = g.bias ? g.bias + p * W : nullptr;
              run_tile(tile);
              if (k0 + kk >= g.k) finish(Piece<T>{tile.c, tile.ldc, row, p * W, tile.rows, tile.cols});
            }
          }
        }
    }
  });
}

}  // namespace fnn::FNN_ISA
