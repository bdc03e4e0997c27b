// Which cells a vector of maxima was found in, and their numbers in memory.
#pragma once

#include "ops/pool/tile.h"

namespace fnn::FNN_ISA {

// x, of the given cells, takes the place of what is smaller.
template <class T, class Mask = typename Vec<T>::Mask>
FNN_INLINE void keep_larger(Vec<T> x, Mask cell, Vec<T>& best, Mask& cells) {
  const Mask better = is_larger(x, best);
  best = select(better, x, best);
  cells = better ? cell : cells;
}

// Cell numbers beside the values they belong to: in memory narrower or wider than a lane.
template <class T, class At, class Cell>
FNN_INLINE void store_cells(At at, Cell* p, typename Vec<T>::Mask cells) {
  for (int i = 0; i < at.count(); ++i) p[at.i + i] = static_cast<Cell>(cells[i]);
}
template <class T, class At, class Cell>
FNN_INLINE typename Vec<T>::Mask load_cells(At at, const Cell* p) {
  typename Vec<T>::Mask cells = {};
  for (int i = 0; i < at.count(); ++i) cells[i] = p[at.i + i];
  return cells;
}
template <>
FNN_INLINE void store_cells<float>(Whole<float> at, int32_t* p, Vec<float>::Mask cells) {
  __builtin_memcpy(p + at.i, &cells, sizeof cells);
}
template <>
FNN_INLINE Vec<float>::Mask load_cells<float>(Whole<float> at, const int32_t* p) {
  Vec<float>::Mask cells;
  __builtin_memcpy(&cells, p + at.i, sizeof cells);
  return cells;
}
#if defined(FNN_AVX512)
template <>
FNN_INLINE void store_cells<float>(Part<float> at, int32_t* p, Vec<float>::Mask cells) {
  _mm512_mask_storeu_epi32(p + at.i, lanes(0.f, at.n), reinterpret_cast<__m512i>(cells));
}
template <>
FNN_INLINE Vec<float>::Mask load_cells<float>(Part<float> at, const int32_t* p) {
  return reinterpret_cast<Vec<float>::Mask>(_mm512_maskz_loadu_epi32(lanes(0.f, at.n), p + at.i));
}
#elif defined(FNN_AVX2)
template <>
FNN_INLINE void store_cells<float>(Part<float> at, int32_t* p, Vec<float>::Mask cells) {
  const __m256i all = reinterpret_cast<__m256i>(cells);
  __m128i rest = _mm256_castsi256_si128(all);
  p += at.i;
  if (at.n & 4) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), rest);
    rest = _mm256_extracti128_si256(all, 1);
    p += 4;
  }
  if (at.n & 2) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), rest);
    rest = _mm_unpackhi_epi64(rest, rest);
    p += 2;
  }
  if (at.n & 1) *p = _mm_cvtsi128_si32(rest);
}
template <>
FNN_INLINE Vec<float>::Mask load_cells<float>(Part<float> at, const int32_t* p) {
  return reinterpret_cast<Vec<float>::Mask>(_mm256_maskload_epi32(p + at.i, lanes(0.f, at.n)));
}
#endif
#if defined(FNN_AVX512)
template <>
FNN_INLINE void store_cells<float>(Whole<float> at, uint8_t* p, Vec<float>::Mask cells) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + at.i), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(cells)));
}
template <>
FNN_INLINE Vec<float>::Mask load_cells<float>(Whole<float> at, const uint8_t* p) {
  return reinterpret_cast<Vec<float>::Mask>(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + at.i))));
}
#endif

}  // namespace fnn::FNN_ISA
