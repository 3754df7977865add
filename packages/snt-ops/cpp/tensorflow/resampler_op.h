// The kernels of the TensorFlow ops, but for the device that computes.
#ifndef SNT_OPS_TENSORFLOW_RESAMPLER_OP_H_
#define SNT_OPS_TENSORFLOW_RESAMPLER_OP_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "snt_ops/resampler.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace snt_ops {

// The type of the kernels for a type of TensorFlow, of the same bits.
template <typename T>
struct KernelType {
  using type = T;
};
template <>
struct KernelType<Eigen::half> {
  using type = Half;
};
template <>
struct KernelType<Eigen::bfloat16> {
  using type = BFloat16;
};

template <typename T>
const typename KernelType<T>::type* Numbers(const tensorflow::Tensor& tensor) {
  return reinterpret_cast<const typename KernelType<T>::type*>(tensor.flat<T>().data());
}

template <typename T>
typename KernelType<T>::type* Numbers(tensorflow::Tensor* tensor) {
  return reinterpret_cast<typename KernelType<T>::type*>(tensor->flat<T>().data());
}

// Checks the shapes of both inputs, and finds the sizes.
inline absl::Status GetShape(const tensorflow::TensorShape& data,
                             const tensorflow::TensorShape& warp, ResamplerShape* shape) {
  if (data.dims() != 4) {
    return absl::UnimplementedError(absl::StrCat(
        "Only bilinear interpolation is currently supported: data should have the shape "
        "[batch, height, width, channels], but has ", data.DebugString()));
  }
  if (warp.dims() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "warp should be at least a matrix, [batch, ..., 2], but has the shape ",
        warp.DebugString()));
  }
  if (warp.dim_size(warp.dims() - 1) != 2) {
    return absl::UnimplementedError(absl::StrCat(
        "Only bilinear interpolation is supported, warping coordinates should be pairs (x, y): "
        "the last dimension of warp should be 2, but its shape is ", warp.DebugString()));
  }
  if (data.dim_size(0) != warp.dim_size(0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Batch size of data and warp tensor must be the same, but the shapes are ",
        data.DebugString(), " and ", warp.DebugString()));
  }
  shape->batch = data.dim_size(0);
  shape->height = data.dim_size(1);
  shape->width = data.dim_size(2);
  shape->channels = data.dim_size(3);
  shape->points = 1;
  for (int i = 1; i + 1 < warp.dims(); ++i) shape->points *= warp.dim_size(i);
  return absl::OkStatus();
}

inline absl::Status GetOutputShape(const tensorflow::TensorShape& data,
                                   const tensorflow::TensorShape& warp,
                                   tensorflow::TensorShape* output) {
  *output = warp;
  output->RemoveLastDims(1);
  return output->AddDimWithStatus(data.dim_size(3));
}

// Engine<Data, Warp> computes, on the device of `context`:
//   static absl::Status Forward(OpKernelContext*, const ResamplerShape&, data, warp, output);
//   static absl::Status Backward(OpKernelContext*, const ResamplerShape&, data, warp, grad_output,
//                                grad_data, grad_warp);
template <template <typename, typename> class Engine, typename T, typename W>
class ResamplerOp : public tensorflow::OpKernel {
 public:
  using tensorflow::OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor& data = context->input(0);
    const tensorflow::Tensor& warp = context->input(1);
    ResamplerShape shape;
    tensorflow::TensorShape output_shape;
    OP_REQUIRES_OK(context, GetShape(data.shape(), warp.shape(), &shape));
    OP_REQUIRES_OK(context, GetOutputShape(data.shape(), warp.shape(), &output_shape));
    tensorflow::Tensor* output = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, output_shape, &output));
    using Compute = Engine<typename KernelType<T>::type, typename KernelType<W>::type>;
    OP_REQUIRES_OK(context, Compute::Forward(context, shape, Numbers<T>(data), Numbers<W>(warp),
                                             Numbers<T>(output)));
  }
};

template <template <typename, typename> class Engine, typename T, typename W>
class ResamplerGradOp : public tensorflow::OpKernel {
 public:
  using tensorflow::OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor& data = context->input(0);
    const tensorflow::Tensor& warp = context->input(1);
    const tensorflow::Tensor& grad_output = context->input(2);
    ResamplerShape shape;
    tensorflow::TensorShape output_shape;
    OP_REQUIRES_OK(context, GetShape(data.shape(), warp.shape(), &shape));
    OP_REQUIRES_OK(context, GetOutputShape(data.shape(), warp.shape(), &output_shape));
    OP_REQUIRES(context, grad_output.shape() == output_shape,
                absl::InvalidArgumentError(absl::StrCat(
                    "grad_output shape should be that of the output, ", output_shape.DebugString(),
                    ", but is ", grad_output.shape().DebugString())));
    tensorflow::Tensor* grad_data = nullptr;
    tensorflow::Tensor* grad_warp = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, data.shape(), &grad_data));
    OP_REQUIRES_OK(context, context->allocate_output(1, warp.shape(), &grad_warp));
    using Compute = Engine<typename KernelType<T>::type, typename KernelType<W>::type>;
    OP_REQUIRES_OK(context, Compute::Backward(context, shape, Numbers<T>(data), Numbers<W>(warp),
                                              Numbers<T>(grad_output), Numbers<T>(grad_data),
                                              Numbers<W>(grad_warp)));
  }
};

}  // namespace snt_ops

// Registers the kernels for all types.
#define SNT_OPS_REGISTER_KERNELS(DEVICE, ENGINE)                                                \
  SNT_OPS_REGISTER_SAME(DEVICE, ENGINE, Eigen::half)                                            \
  SNT_OPS_REGISTER_SAME(DEVICE, ENGINE, Eigen::bfloat16)                                        \
  SNT_OPS_REGISTER_SAME(DEVICE, ENGINE, float)                                                  \
  SNT_OPS_REGISTER_SAME(DEVICE, ENGINE, double)                                                 \
  SNT_OPS_REGISTER(DEVICE, ENGINE, "ResamplerFloatWarp", Eigen::half, float)                    \
  SNT_OPS_REGISTER(DEVICE, ENGINE, "ResamplerFloatWarp", Eigen::bfloat16, float)

#define SNT_OPS_REGISTER_SAME(DEVICE, ENGINE, T) \
  SNT_OPS_REGISTER(DEVICE, ENGINE, "Resampler", T, T)

#define SNT_OPS_REGISTER(DEVICE, ENGINE, NAME, T, W)                                            \
  REGISTER_KERNEL_BUILDER(                                                                      \
      Name(NAME).Device(tensorflow::DEVICE).TypeConstraint<T>("T"),                             \
      snt_ops::ResamplerOp<ENGINE, T, W>);                                                      \
  REGISTER_KERNEL_BUILDER(                                                                      \
      Name(NAME "Grad").Device(tensorflow::DEVICE).TypeConstraint<T>("T"),                      \
      snt_ops::ResamplerGradOp<ENGINE, T, W>);

#endif  // SNT_OPS_TENSORFLOW_RESAMPLER_OP_H_
