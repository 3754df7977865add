// How a problem of any size becomes launches: by types, by vector sizes, in parts.
#ifndef SNT_OPS_RESAMPLER_CUDA_LAUNCH_CUH_
#define SNT_OPS_RESAMPLER_CUDA_LAUNCH_CUH_

#include <algorithm>

#include "resampler_cuda_device.cuh"
#include "snt_ops/resampler_cuda.h"

#define SNT_RETURN_IF_ERROR(expression)            \
  do {                                             \
    const cudaError_t snt_error = (expression);    \
    if (snt_error != cudaSuccess) return snt_error; \
  } while (false)

namespace snt_ops {
namespace cuda {

// Threads of one launch are numbered in 31 bits.
constexpr std::int64_t kMostItems = std::int64_t{1} << 30;

template <typename T>
bool IsAligned(const T* pointer, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

// The smallest Acc that is no less than `size`.
template <typename Acc>
Acc UpperLimit(std::int64_t size) {
  const Acc limit = static_cast<Acc>(size);
  const bool exact_or_above = static_cast<long double>(limit) >= static_cast<long double>(size);
  return exact_or_above ? limit : std::nextafter(limit, std::numeric_limits<Acc>::infinity());
}

inline unsigned Blocks(std::int64_t items, std::int64_t items_a_block = kThreads) {
  return static_cast<unsigned>((items + items_a_block - 1) / items_a_block);
}

// Calls `launch(part, first_batch, first_point)` for parts of at most `most_images` images and of
// no more points than `items_a_point` allows. A part is whole images, or points of one.
template <typename Acc, typename Index, typename Launch>
cudaError_t ForParts(const ResamplerShape& shape, std::int64_t items_a_point,
                     std::int64_t most_images, bool aligned_warp, const Launch& launch) {
  Part<Acc, Index> part;
  part.height = static_cast<Index>(shape.height);
  part.width = static_cast<Index>(shape.width);
  part.channels = static_cast<Index>(shape.channels);
  part.row = static_cast<Index>(shape.width * shape.channels);
  part.image = shape.height * shape.width * shape.channels;
  part.limit_x = UpperLimit<Acc>(shape.width);
  part.limit_y = UpperLimit<Acc>(shape.height);
  part.aligned_warp = aligned_warp;
  const std::int64_t most_points = kMostItems / items_a_point;
  if (most_points == 0) return cudaErrorNotSupported;

  if (shape.points <= most_points) {
    most_images = std::max<std::int64_t>(1, std::min(most_images, most_points / shape.points));
    part.points_each = Divider(static_cast<unsigned>(shape.points));
    for (std::int64_t batch = 0; batch < shape.batch; batch += most_images) {
      const std::int64_t images = std::min(most_images, shape.batch - batch);
      part.points = static_cast<unsigned>(images * shape.points);
      SNT_RETURN_IF_ERROR(launch(part, batch, std::int64_t{0}));
    }
    return cudaSuccess;
  }
  part.points_each = Divider(0x7fffffffu);  // all of the part are of one image
  for (std::int64_t batch = 0; batch < shape.batch; ++batch) {
    for (std::int64_t point = 0; point < shape.points; point += most_points) {
      part.points = static_cast<unsigned>(std::min(most_points, shape.points - point));
      SNT_RETURN_IF_ERROR(launch(part, batch, point));
    }
  }
  return cudaSuccess;
}

// Whether 32 bits hold all offsets within an image, and a row and a pixel beyond it.
inline bool IsNarrow(const ResamplerShape& shape) {
  const double numbers = (static_cast<double>(shape.height) + 2) *
                         (static_cast<double>(shape.width) + 2) *
                         static_cast<double>(shape.channels);
  return numbers < 2147483647.0;
}

// Calls `function.template operator()<Data, Warp>()` for the types.
template <typename Function>
cudaError_t ForTypes(ElementType data_type, ElementType warp_type, const Function& function) {
  const bool half_warp = warp_type == data_type;
  if (!half_warp && warp_type != ElementType::kFloat32) return cudaErrorInvalidValue;
  switch (data_type) {
    case ElementType::kFloat16:
      return half_warp ? function.template operator()<__half, __half>()
                       : function.template operator()<__half, float>();
    case ElementType::kBFloat16:
      return half_warp ? function.template operator()<__nv_bfloat16, __nv_bfloat16>()
                       : function.template operator()<__nv_bfloat16, float>();
    case ElementType::kFloat32:
      return function.template operator()<float, float>();
    case ElementType::kFloat64:
      if (!half_warp) return cudaErrorInvalidValue;
      return function.template operator()<double, double>();
  }
  return cudaErrorInvalidValue;
}

// The largest vector, in numbers, that divides `channels` and fits all `pointers`.
template <typename T, typename... Pointers>
int VectorSize(std::int64_t channels, Pointers... pointers) {
  int size = static_cast<int>(16 / sizeof(T));
  while (size > 1 && (channels % size != 0 || !(IsAligned(pointers, size * sizeof(T)) && ...))) {
    size /= 2;
  }
  return size;
}

}  // namespace cuda
}  // namespace snt_ops

#endif  // SNT_OPS_RESAMPLER_CUDA_LAUNCH_CUH_
