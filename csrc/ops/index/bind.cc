#include "ops/index/op.h"

#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

template <class T>
struct RowRange {
  const T* index;  // (n)
  int64_t n, rows;

  FindOutsideArgs<T> range() const { return {index, n, -rows, rows - 1, false, 0}; }
  void refuse(T value) const {
    fail<IndexError>("index_select", "index ", value, " is out of range for ", rows, " rows");
  }
  template <class V>
  void visit(V& v) {
    v.in(index, n);
  }
};

}  // namespace

Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index) {
  check(dim == 0, "index_select", "only dim 0 is supported; got ", dim);
  check(input->ndim() > 0, "index_select", "a tensor of 0 dimensions has no rows");
  check<TypeError>(index->dtype == DType::i64 || index->dtype == DType::i32, "index_select",
                   "index must be int64 or int32; got ", name(index->dtype));
  const Tensor at = as_contiguous(cast("index_select", index, DType::i64));
  const int64_t rows = input->shape[0], count = at->numel();
  launch<value_check>(RowRange<i64>{at->data<i64>(), count, rows});
  const Tensor x = as_contiguous(input);
  Dims shape = at->shape;
  int64_t width = 1;
  for (int i = 1; i < x->ndim(); ++i) {
    shape.push_back(x->shape[i]);
    width *= x->shape[i];
  }
  const Tensor y = empty(shape, x->dtype);
  launch<kernel::gather_rows>(GatherRowsArgs<u8>{x->data<u8>(), at->data<i64>(), y->data<u8>(), rows, count,
                                                 width * static_cast<int64_t>(itemsize(x->dtype))});
  return record("index_select", {&input}, y, [&] {
    return [at = Saved(at), from = x->shape, count, width](const Tensor& dy, Grads& dx) {
      const Tensor g = as_contiguous(dy);
      dx[0] = empty(from, dy->dtype);
      visit_floating("index_select", "input", dy->dtype, [&]<class T>() {
        launch<kernel::scatter_rows>(ScatterRowsArgs<T>{at.get("index_select")->template data<i64>(), g->data<T>(),
                                                        dx[0]->data<T>(), from[0], count, width});
      });
    };
  });
}

void bind_index(Module& m) {
  def_op(m, "index_select", &index_select,
         "Rows input[index[j]] along the first axis; negative indices count from the end. Raises an IndexError when "
         "one is out of range.",
         py::arg("dim"), required("index"));
}

}  // namespace fnn
