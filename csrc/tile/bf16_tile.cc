// The register tile of products in bfloat16. The one file that is compiled for AVX512-BF16: it
// belongs to the set of AVX-512, and is entered where the processor has this too. So all but
// run_bf16_tile stays inside (tests/check_symbols.py).
#include "tile/bf16.h"
#include "tile/sized.h"

namespace fnn::FNN_ISA {
namespace {

using Pairs = Vec<float>::Bits;

// sum + a b for the two numbers of each lane
FNN_INLINE Vec<float> dot(Pairs a, Pairs b, Vec<float> sum) {
#if defined(__AVX512BF16__)
  return Vec<float>::Raw(_mm512_dpbf16_ps(__m512(sum.v), (__m512bh)a, (__m512bh)b));
#else
  using Raw = Vec<float>::Raw;
  const Pairs upper = Pairs{} + 0xffff0000u;
  sum = fma(Vec<float>(Raw(a & upper)), Vec<float>(Raw(b & upper)), sum);
  return fma(Vec<float>(Raw(a << 16)), Vec<float>(Raw(b << 16)), sum);
#endif
}

template <int MR, int NV>
void sized_tile(const Bf16Tile& t) {
  compute_tile<float, MR, NV>(t, t.c, [&](Vec<float>(&acc)[MR][NV], int) {
    const uint32_t *a = t.a, *b = t.b;
    for (int64_t p = 0; p < t.pairs; ++p, a += MR, b += kTileCols<float>) {
      Pairs bv[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) __builtin_memcpy(&bv[j], b + j * Vec<float>::N, sizeof bv[j]);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const Pairs av = a[i] + Pairs{};
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = dot(av, bv[j], acc[i][j]);
      }
    }
  });
}

using Fn = void (*)(const Bf16Tile&);
struct Table {
  Fn fn[kMaxVecs][kMaxRows];

  template <int NV, int MR>
  constexpr void fill() {
    fn[NV - 1][MR - 1] = &sized_tile<MR, NV>;
    if constexpr (MR > 1) fill<NV, MR - 1>();
  }
  constexpr Table() : fn() {
    static_assert(kMaxVecs == 2);
    fill<1, kMaxRows>();
    fill<2, kMaxRows>();
  }
};
constexpr Table table;

}  // namespace

void run_bf16_tile(const Bf16Tile& t) { table.fn[(t.cols + Vec<float>::N - 1) / Vec<float>::N - 1][t.rows - 1](t); }

}  // namespace fnn::FNN_ISA
