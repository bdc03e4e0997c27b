// Matrix products of numbers rounded to bfloat16, added up in float: half the instructions of
// a product in float, on processors with AVX512-BF16. Both operands are packed: a 32-bit lane
// holds the numbers of an even and the next odd k, the even one in its lower half.
#pragma once

#include "tile/gemm.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

struct Bf16Tile : TileOutput<float> {
  const uint32_t* a;  // (pairs, rows)
  const uint32_t* b;  // (pairs, kTileCols<float>)
  int64_t pairs;
};

// In bf16_tile.cc, which is compiled for AVX512-BF16.
void run_bf16_tile(const Bf16Tile& t);

// To the nearest, to even between two; the 16 bits are the upper half of each lane. NaN stays NaN.
FNN_INLINE Vec<float>::Bits round_to_bf16(Vec<float> x) {
  using Bits = Vec<float>::Bits;
  const Bits bits = Bits(x.v), rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Bits quiet = bits | 0x400000u, result = x != x ? quiet : rounded;
  return result & 0xffff0000u;
}

// X (k, cols) to y (pairs, width), padded with 0. X[r, c] = x[r * ld + c] or, transposed,
// x[c * ld + r]; then y is used for (k, width) floats on the way.
inline void pack_pairs(const float* x, int64_t ld, bool transposed, int64_t k, int64_t cols, int64_t width,
                       uint32_t* y) {
  auto* out = reinterpret_cast<float*>(y);  // reached through Vec alone, which copies bytes
  if (transposed) {
    transpose_block(x, ld, cols, k, out, width);
    x = out;
    ld = width;
  }
  for (int64_t r = 0; r < k; r += 2, out += width) {
    const float *even = x + r * ld, *odd = even + ld;
    const bool alone = r + 1 == k;
    for_vec<float>(0, cols, [&](auto at) {
      const auto high = alone ? Vec<float>::Bits{} : round_to_bf16(at.load(odd));
      at.store(out, Vec<float>::Raw(high | round_to_bf16(at.load(even)) >> 16));
    });
    for_vec<float>(cols, width, [&](auto at) { at.store(out, Vec<float>(0)); });
  }
}

template <class Finish>
void gemm_bf16(Stream& s, const Gemm<float>& g, const Finish& finish) {
  constexpr int W = kTileCols<float>;
  constexpr int64_t kDepth = kOnePass<float>;  // even: pairs are not torn apart
  static_assert(kDepth % 2 == 0);
  const int64_t depth = lesser(g.k, kDepth), most_pairs = divide_up(depth, 2);

  // Shared out as in gemm().
  const int tile_rows = even_rows(g.m);
  const int64_t tiles = divide_up(g.m, tile_rows), panels = divide_up(g.n, W);
  const int64_t wanted = s.threads == 1 || g.m * g.n * g.k < kSplitWork ? 1 : g.by_columns ? s.threads : 2 * s.threads;
  const int64_t across = lesser(panels, lesser(wanted, s.threads)), down = lesser(tiles, divide_up(wanted, across));
  const int64_t fit = kBlockBytes / (most_pairs * W * static_cast<int64_t>(sizeof(uint32_t)));

  parallel_for(s, across * down, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first_panel = panels * (task / down) / across, last_panel = panels * (task / down + 1) / across;
      const int64_t t0 = tiles * (task % down) / down, t1 = tiles * (task % down + 1) / down;
      const int64_t block = lesser(last_panel - first_panel, fit);
      // The panel that is packed last needs the room of two on the way, and so does the tile of A.
      const int64_t packed_size = (block + 1) * most_pairs * W;
      auto* packed = static_cast<uint32_t*>(
          Stream::thread_workspace((packed_size + 2 * most_pairs * tile_rows) * sizeof(uint32_t)));
      uint32_t* packed_a = packed + packed_size;
      alignas(64) float only_piece[kMaxRows * W];

      for (int64_t p0 = first_panel; p0 < last_panel; p0 += block)
        for (int64_t k0 = 0; k0 < g.k; k0 += depth) {
          const int64_t p1 = lesser(p0 + block, last_panel), kk = lesser(g.k - k0, depth), pairs = divide_up(kk, 2);
          for (int64_t p = p0; p < p1; ++p)
            pack_pairs(g.b_transposed ? g.b + p * W * g.ldb + k0 : g.b + k0 * g.ldb + p * W, g.ldb, g.b_transposed, kk,
                       lesser(g.n - p * W, W), W, packed + (p - p0) * pairs * W);
          for (int64_t t = t0; t < t1; ++t) {
            const int64_t row = t * tile_rows;
            const bool rows = g.a_layout == ALayout::rows;
            Bf16Tile tile;
            tile.rows = static_cast<int>(lesser(g.m - row, tile_rows));
            pack_pairs(rows ? g.a + row * g.lda + k0 : g.a + k0 * g.lda + row, g.lda, rows, kk, tile.rows, tile.rows,
                       packed_a);
            tile.a = packed_a;
            tile.pairs = pairs;
            tile.ldc = g.c ? g.ldc : W;
            tile.accumulate = g.accumulate || k0 > 0;
            tile.descent = g.descent;
            for (int64_t p = p0; p < p1; ++p) {
              tile.cols = static_cast<int>(lesser(g.n - p * W, W));
              tile.b = packed + (p - p0) * pairs * W;
              tile.c = g.c ? g.c + row * g.ldc + p * W : only_piece;
              tile.bias = g.bias ? g.bias + p * W : nullptr;
              run_bf16_tile(tile);
              if (k0 + kk >= g.k) finish(Piece<float>{tile.c, tile.ldc, row, p * W, tile.rows, tile.cols});
            }
          }
        }
    }
  });
}

}  // namespace fnn::FNN_ISA
