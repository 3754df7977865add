// Bilinear resampling of images at points, forward and backward, on a GPU.
//
// Plain C++17 and CUDA's runtime, no framework. The functions start kernels on `stream` (a
// cudaStream_t, null for the default one) of the current device and do not wait for them. All
// pointers are to memory of that device. They return 0 or a cudaError_t, for ResamplerCudaError.
// What is computed is what resampler.h says; its types, shapes and words hold here too.
#ifndef SNT_OPS_RESAMPLER_CUDA_H_
#define SNT_OPS_RESAMPLER_CUDA_H_

#include <cstdint>

#include "snt_ops/resampler.h"

namespace snt_ops {

enum class ElementType : int { kFloat16 = 0, kBFloat16 = 1, kFloat32 = 2, kFloat64 = 3 };

// Writes all of `output`. `warp_type` is `data_type`, or kFloat32 with data of a half type; other
// pairs give cudaErrorInvalidValue.
int ResamplerForwardCuda(ElementType data_type, ElementType warp_type, const ResamplerShape& shape,
                         const void* data, const void* warp, void* output, void* stream);

// Sets `bytes` to the size of the device memory that ResamplerBackwardCuda needs for itself, on
// the current device. It may be 0.
int ResamplerBackwardCudaWorkspace(ElementType data_type, ElementType warp_type,
                                   const ResamplerShape& shape, bool deterministic,
                                   std::int64_t* bytes);

// Writes all of `grad_data` and of `grad_warp`. `workspace` is aligned to 256 bytes, as all device
// allocations are, and may be reused by later work on the same stream.
//
// `deterministic` false: grad_data is summed by atomic additions, whose order, and so the last
// bits of the result, changes from run to run. True: the points are sorted by cell first and each
// pixel sums up its own in their order; same bits each time, and slow where very many points share
// a cell. An image of about 2^32 pixels, or of more than 2^30 points, gives cudaErrorNotSupported
// then. grad_warp is the same each time either way.
int ResamplerBackwardCuda(ElementType data_type, ElementType warp_type, const ResamplerShape& shape,
                          const void* data, const void* warp, const void* grad_output,
                          void* grad_data, void* grad_warp, void* workspace,
                          std::int64_t workspace_bytes, bool deterministic, void* stream);

// What an error code means, in words.
const char* ResamplerCudaError(int code);

// The version of CUDA that compiled the kernels: 13000 is 13.0.
int ResamplerCudaVersion();

}  // namespace snt_ops

#endif  // SNT_OPS_RESAMPLER_CUDA_H_
