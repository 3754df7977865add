// The functions of one instruction set, for all types. Included once by each file level_*.cc.
#include "kernels/backward.h"
#include "kernels/forward.h"
#include "kernels/level.h"

namespace snt_ops {
namespace SNT_OPS_LEVEL {

template <typename Data>
void Round(const Accumulator<Data>* from, Data* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) Store<8>(Load<8>(from + i), to + i);
  for (; i < count; ++i) FromNumber(from[i], to + i);
}

#define SNT_OPS_INSTANCE(Data, Warp)             \
  template ForwardFunction<Data, Warp> Forward<Data, Warp>; \
  template BackwardFunction<Data, Warp> Backward<Data, Warp>;

SNT_OPS_INSTANCE(Half, Half)
SNT_OPS_INSTANCE(Half, float)
SNT_OPS_INSTANCE(BFloat16, BFloat16)
SNT_OPS_INSTANCE(BFloat16, float)
SNT_OPS_INSTANCE(float, float)
SNT_OPS_INSTANCE(double, double)

template RoundFunction<Half> Round<Half>;
template RoundFunction<BFloat16> Round<BFloat16>;

}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops
