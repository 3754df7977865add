// Bilinear resampling of images at points, forward and backward, on the CPU.
//
// Plain C++17: no framework, raw pointers and sizes. The bindings (TensorFlow, arrays) check
// shapes and types; here every size may be zero and every coordinate may be any bit pattern.
#ifndef SNT_OPS_RESAMPLER_H_
#define SNT_OPS_RESAMPLER_H_

#include <cstdint>

#include "snt_ops/parallel.h"

namespace snt_ops {

// The bits of a number of IEEE 754 binary16. The kernels convert; weights and sums are float.
struct Half {
  std::uint16_t bits;
};

// The bits of the upper half of a float.
struct BFloat16 {
  std::uint16_t bits;
};

// Sizes of a problem. All arrays are dense and row-major:
//   data         [batch, height, width, channels]
//   warp         [batch, points, 2], x (along width) before y, in pixels
//   output       [batch, points, channels]
struct ResamplerShape {
  std::int64_t batch = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t points = 0;
};

// The types (Data, Warp) that exist: (Half, Half), (Half, float), (BFloat16, BFloat16),
// (BFloat16, float), (float, float), (double, double).

// Writes all of `output`: batch * points * channels numbers.
//
// A neighbour outside of the image counts as 0, and one whose weight is 0 does not contribute,
// whatever its value. Points at x <= -1, y <= -1, x >= width, y >= height and points that are not
// finite give 0. The bits of the result do not depend on the number of threads.
template <typename Data, typename Warp>
void ResamplerForward(const ResamplerShape& shape, const Data* data, const Warp* warp,
                      Data* output, ParallelFor& parallel);

// Writes all of `grad_data` (the shape of data) and of `grad_warp` (the shape of warp), given the
// gradient to the output. At an integer coordinate the gradient to the warp is that of the cell
// to the right and below. The bits of the results do not depend on the number of threads.
template <typename Data, typename Warp>
void ResamplerBackward(const ResamplerShape& shape, const Data* data, const Warp* warp,
                       const Data* grad_output, Data* grad_data, Warp* grad_warp,
                       ParallelFor& parallel);

// Instructions that the kernels use on this processor: "AVX2", "NEON" or "baseline". The
// environment variable SNT_OPS_SIMD=baseline, read at the first use, switches the others off.
const char* ResamplerSimdLevel();

}  // namespace snt_ops

#endif  // SNT_OPS_RESAMPLER_H_
