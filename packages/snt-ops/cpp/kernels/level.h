// What each instruction set gives: work on one image, in the calling thread.
#ifndef SNT_OPS_KERNELS_LEVEL_H_
#define SNT_OPS_KERNELS_LEVEL_H_

#include <cstdint>
#include <type_traits>

#include "snt_ops/resampler.h"

namespace snt_ops {

// Where the gradient to the data is summed: the type of the data, float for half types.
template <typename Data>
using Accumulator = std::conditional_t<std::is_same_v<Data, double>, double, float>;

// Rows [begin, end) of an image.
struct Rows {
  std::int64_t begin;
  std::int64_t end;
};

// Samples one image at `count` points. The image is not empty.
template <typename Data, typename Warp>
using ForwardFunction = void(const ResamplerShape& shape, const Data* image, const Warp* warp,
                             Data* output, std::int64_t count);

// Adds to `rows` of the gradient to one image (`grad_rows` is the first of them) what the points
// give them, and writes the gradient to the points of which those rows hold the upper left
// neighbour; the first row also has the points above and outside.
template <typename Data, typename Warp>
using BackwardFunction = void(const ResamplerShape& shape, Rows rows, const Data* image,
                              const Warp* warp, const Data* grad_output,
                              Accumulator<Data>* grad_rows, Warp* grad_warp);

// Converts sums to the type of the data.
template <typename Data>
using RoundFunction = void(const Accumulator<Data>* from, Data* to, std::int64_t count);

#define SNT_OPS_DECLARE_LEVEL(level)                       \
  namespace level {                                        \
  template <typename Data, typename Warp>                  \
  ForwardFunction<Data, Warp> Forward;                     \
  template <typename Data, typename Warp>                  \
  BackwardFunction<Data, Warp> Backward;                   \
  template <typename Data>                                 \
  RoundFunction<Data> Round;                               \
  }

SNT_OPS_DECLARE_LEVEL(baseline)
SNT_OPS_DECLARE_LEVEL(avx2)

#undef SNT_OPS_DECLARE_LEVEL

}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_LEVEL_H_
