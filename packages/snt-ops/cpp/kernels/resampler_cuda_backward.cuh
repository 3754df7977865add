// What the two ways of the backward pass share.
#ifndef SNT_OPS_RESAMPLER_CUDA_BACKWARD_CUH_
#define SNT_OPS_RESAMPLER_CUDA_BACKWARD_CUH_

#include "resampler_cuda_launch.cuh"

namespace snt_ops {
namespace cuda {

// Threads that share a point are neighbours in a warp, a power of 2. More than 8, each moving 16
// bytes, would gain nothing: they fill a cache line, and more points a warp can be merged.
constexpr int kMostLanes = 8;

inline int LanesShift(std::int64_t vectors) {
  int shift = 0;
  while ((1 << shift) < kMostLanes && (1 << shift) < vectors) ++shift;
  return shift;
}

// The sorted way of grad_data, in resampler_cuda_sorted.cu.
cudaError_t SortedWorkspace(const ResamplerShape& shape, std::int64_t* bytes);
cudaError_t SortedGradData(ElementType data_type, ElementType warp_type,
                           const ResamplerShape& shape, const void* warp, const void* grad_output,
                           void* grad_data, void* workspace, std::int64_t workspace_bytes,
                           cudaStream_t stream);

}  // namespace cuda
}  // namespace snt_ops

#endif  // SNT_OPS_RESAMPLER_CUDA_BACKWARD_CUH_
