#include "ops/matmul/args.h"

#include "tile/gemm.h"

namespace fnn::FNN_ISA {

template <class T>
void matmul(Stream& s, const MatmulArgs<T>& x) {
  const auto product = [&](Stream& on, int64_t i) {
    const auto& batch = x.batch;
    int64_t offset[3] = {};
    for (int d = batch.ndim - 1; d >= 0; --d) {
      const int64_t at = d > 0 ? i % batch.size[d] : i;
      if (d > 0) i /= batch.size[d];
      for (int array = 0; array < 3; ++array) offset[array] += at * batch.stride[array][d];
    }
    const Gemm<T> g{.m = x.m,
                    .n = x.n,
                    .k = x.k,
                    .a = x.a + offset[1],
                    .lda = x.lda,
                    .a_layout = x.a_transposed ? ALayout::columns : ALayout::rows,
                    .b = x.b + offset[2],
                    .ldb = x.ldb,
                    .b_transposed = x.b_transposed,
                    .c = x.c + offset[0],
                    .ldc = x.n,
                    .bf16 = x.precision == Precision::bf16};
    gemm(on, g, [](const Piece<T>&) {});
  };
  const int64_t count = x.batch.numel();
  if (count == 1) return product(s, 0);
  // Many products: a thread takes whole ones.
  const int64_t work = x.m * x.n * x.k + 1;
  parallel_for(s, count, 65536 / work + 1, [&](int64_t begin, int64_t end) {
    Stream alone = s;
    alone.threads = 1;
    for (int64_t i = begin; i < end; ++i) product(alone, i);
  });
}

#include "isa/instantiate.h"
#include "ops/matmul/kernels.inc"

}  // namespace fnn::FNN_ISA
