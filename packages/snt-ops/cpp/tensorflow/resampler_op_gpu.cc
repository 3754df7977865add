// The kernels of the TensorFlow ops for a GPU: they start the CUDA kernels on TensorFlow's stream.
#define EIGEN_USE_GPU
#define GOOGLE_CUDA 1

#include <cstdint>

#include "resampler_op.h"
#include "snt_ops/resampler_cuda.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/util/determinism.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace snt_ops {
namespace {

template <typename Number>
constexpr ElementType kElementType = ElementType::kFloat32;
template <>
constexpr ElementType kElementType<Half> = ElementType::kFloat16;
template <>
constexpr ElementType kElementType<BFloat16> = ElementType::kBFloat16;
template <>
constexpr ElementType kElementType<double> = ElementType::kFloat64;

absl::Status Check(int code) {
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("The resampler on the GPU: ", ResamplerCudaError(code)));
}

void* Stream(tensorflow::OpKernelContext* context) {
  return context->eigen_device<Eigen::GpuDevice>().stream();
}

template <typename Data, typename Warp>
struct GpuEngine {
  static absl::Status Forward(tensorflow::OpKernelContext* context, const ResamplerShape& shape,
                              const Data* data, const Warp* warp, Data* output) {
    return Check(ResamplerForwardCuda(kElementType<Data>, kElementType<Warp>, shape, data, warp,
                                      output, Stream(context)));
  }

  static absl::Status Backward(tensorflow::OpKernelContext* context, const ResamplerShape& shape,
                               const Data* data, const Warp* warp, const Data* grad_output,
                               Data* grad_data, Warp* grad_warp) {
    const bool deterministic = tensorflow::OpDeterminismRequired();
    std::int64_t bytes = 0;
    TF_RETURN_IF_ERROR(Check(ResamplerBackwardCudaWorkspace(
        kElementType<Data>, kElementType<Warp>, shape, deterministic, &bytes)));
    tensorflow::Tensor workspace;
    TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_INT8,
                                              tensorflow::TensorShape({bytes}), &workspace));
    return Check(ResamplerBackwardCuda(
        kElementType<Data>, kElementType<Warp>, shape, data, warp, grad_output, grad_data,
        grad_warp, workspace.flat<std::int8_t>().data(), bytes, deterministic, Stream(context)));
  }
};

SNT_OPS_REGISTER_KERNELS(DEVICE_GPU, GpuEngine)

}  // namespace
}  // namespace snt_ops
