#include "ops/matmul/args.h"

#include "tile/gemm.h"

namespace fnn::FNN_ISA {

template <class T>
void matmul(Stream& s, const MatmulArgs<T>& x) {
  const auto product = [&](Stream& on, int64_t i) {
    const Gemm<T> g{x.m,
                    x.n,
                    x.k,
                    x.a + i * x.a_step,
                    x.lda,
                    x.a_transposed ? ALayout::columns : ALayout::rows,
                    x.b + i * x.b_step,
                    x.ldb,
                    x.b_transposed,
                    x.c + i * x.c_step,
                    x.ldc};
    gemm(on, g, [](const Piece<T>&) {});
  };
  if (x.batch == 1) return product(s, 0);
  // Many products: a thread takes whole ones.
  const int64_t work = x.m * x.n * x.k + 1;
  parallel_for(s, x.batch, 65536 / work + 1, [&](int64_t begin, int64_t end) {
    Stream alone = s;
    alone.threads = 1;
    for (int64_t i = begin; i < end; ++i) product(alone, i);
  });
}

#include "isa/instantiate.h"
#include "ops/matmul/kernels.inc"

}  // namespace fnn::FNN_ISA
