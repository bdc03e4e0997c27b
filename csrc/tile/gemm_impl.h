// The loops around the register tile. A block of B, of some hundred rows and columns,
// stays in the second-level cache while the tiles of A pass over it one after the other,
// each from the first-level cache. Threads take blocks of C; k is never shared among
// them, so that every element of C is summed in one order.
#pragma once

#include "tile/gemm.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

constexpr int64_t kDepthBytes = 2048;        // of k in one pass, when k is long: a tile of A is 28 kB
constexpr int64_t kBlockBytes = 1280 << 10;  // packed B that is at hand at once
constexpr int64_t kNoPackBytes = 512 << 10;  // a smaller B is read where it lies

// A stride that sends every row to the same few sets of the cache.
template <class T>
FNN_INLINE bool bad_stride(int64_t ld) {
  return ld * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
}

FNN_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class T, class Finish>
void gemm(Stream& s, const Gemm<T>& g, const Finish& finish) {
  constexpr int W = kTileCols<T>;
  if (g.m == 0 || g.n == 0) return;
  constexpr int64_t kDepth = kDepthBytes / sizeof(T), kNoPack = kNoPackBytes / sizeof(T);  // elements
  static_assert(2 * kOnePass<T> == 3 * kDepth);
  const int64_t passes = g.k > kOnePass<T> ? divide_up(g.k, kDepth) : 1;
  const int64_t depth = g.k > 0 ? divide_up(g.k, passes) : 1;
  const bool pack_b = g.b_transposed || (g.m > 64 && (g.k * g.n > kNoPack || bad_stride<T>(g.ldb)));
  const bool pack_a = g.n >= 4 * W && (bad_stride<T>(g.lda) || (g.a_layout == ALayout::columns && g.m * g.k > kNoPack));
  int64_t block_cols = g.n;
  if (pack_b) {
    const int64_t fit = kBlockBytes / static_cast<int64_t>(sizeof(T)) / (depth + 1);
    const int64_t blocks = divide_up(g.n, fit > W ? fit : W);
    block_cols = divide_up(divide_up(g.n, blocks), W) * W;
  }
  T* packed = pack_b ? static_cast<T*>(s.workspace(depth * divide_up(block_cols, W) * W * sizeof(T))) : nullptr;

  // Row blocks of several tiles, column blocks of several panels: enough of both to
  // occupy the threads, as large as that allows.
  const int tile_rows = even_rows(g.m);
  const int64_t tiles = divide_up(g.m, tile_rows), panels = divide_up(block_cols, W);
  const int64_t wanted = s.threads > 1 ? 4 * s.threads : 1;
  const bool by_columns = g.by_columns && s.threads > 1 && panels >= s.threads;
  int64_t block_tiles = 8;
  while (block_tiles > 1 && divide_up(tiles, block_tiles) < (by_columns ? 4 : wanted)) --block_tiles;
  const int64_t row_blocks = divide_up(tiles, block_tiles);
  const int64_t column_blocks = by_columns ? s.threads
                                : row_blocks >= wanted
                                    ? 1
                                    : (wanted / row_blocks < panels ? divide_up(wanted, row_blocks) : panels);
  const int64_t work = g.m * g.n * depth;  // multiply-adds of one pass

  for (int64_t n0 = 0; n0 < g.n; n0 += block_cols) {
    const int64_t cols = g.n - n0 < block_cols ? g.n - n0 : block_cols, cols_panels = divide_up(cols, W);
    for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += depth) {
      const int64_t kk = g.k - k0 < depth ? g.k - k0 : depth;
      const bool first = k0 == 0, last = k0 + kk >= g.k;
      const T* b = g.b_transposed ? g.b + n0 * g.ldb + k0 : g.b + k0 * g.ldb + n0;
      if (pack_b)
        parallel_for(s, cols_panels, 32768 / (kk * W + 1) + 1, [&](int64_t begin, int64_t end) {
          for (int64_t p = begin; p < end; ++p)
            pack_b_panel(b + p * W * (g.b_transposed ? g.ldb : 1), g.ldb, g.b_transposed, kk,
                         cols - p * W < W ? cols - p * W : W, packed + p * kk * W);
        });

      const int64_t panels_each = divide_up(cols_panels, column_blocks);
      const int64_t blocks = row_blocks * column_blocks;
      // Below some 10^5 multiply-adds a second thread costs more than it brings.
      const int64_t grain = work < 131072 ? blocks : divide_up(blocks * 32768, work);
      parallel_for(s, blocks, grain, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) {
          // Column by column, as a thread's share is a run of blocks.
          const int64_t t0 = block % row_blocks * block_tiles;
          const int64_t t1 = t0 + block_tiles < tiles ? t0 + block_tiles : tiles;
          const int64_t p0 = block / row_blocks * panels_each;
          const int64_t p1 = p0 + panels_each < cols_panels ? p0 + panels_each : cols_panels;
          if (p0 >= p1) continue;
          const auto a_tile = [&](int64_t t) {
            return g.a_layout == ALayout::rows ? g.a + t * tile_rows * g.lda + k0 : g.a + k0 * g.lda + t * tile_rows;
          };
          const auto rows_of = [&](int64_t t) {
            return static_cast<int>(g.m - t * tile_rows < tile_rows ? g.m - t * tile_rows : tile_rows);
          };
          T* packed_a = pack_a ? static_cast<T*>(Stream::thread_workspace(tile_rows * kk * sizeof(T))) : nullptr;
          const int64_t zero = 0;
          alignas(64) T only_piece[kMaxRows * W];
          for (int64_t t = t0; t < t1; ++t) {
            const int rows = rows_of(t);
            if (pack_a) pack_a_tile(a_tile(t), g.lda, g.a_layout, kk, rows, packed_a);
            for (int64_t p = p0; p < p1; ++p) {
              const int width = static_cast<int>(cols - p * W < W ? cols - p * W : W);
              Tile<T> tile;
              tile.a = pack_a ? packed_a : a_tile(t);
              tile.lda = pack_a ? rows : g.lda;
              tile.layout = pack_a ? ALayout::columns : g.a_layout;
              tile.k = {&zero, 1, kk};
              tile.b = pack_b ? packed + p * kk * W : b + p * W;
              tile.ldb = pack_b ? W : g.ldb;
              tile.b_padded = pack_b;
              tile.c = g.c ? g.c + t * tile_rows * g.ldc + n0 + p * W : only_piece;
              tile.ldc = g.c ? g.ldc : W;
              tile.rows = rows;
              tile.cols = width;
              tile.accumulate = g.accumulate || !first;
              tile.bias = g.bias ? g.bias + n0 + p * W : nullptr;
              run_tile(tile);
              if (last) finish(Piece<T>{tile.c, tile.ldc, t * tile_rows, n0 + p * W, rows, width});
            }
          }
        }
      });
    }
  }
}

}  // namespace fnn::FNN_ISA
