// The TensorFlow ops Resampler and ResamplerGrad, and their kernels for the CPU.
//
// ResamplerFloatWarp and ResamplerFloatWarpGrad take points of float32 with images of a half type:
// the ops of that name in old graphs have one type for both, so these need a name of their own.
#include "resampler_op.h"

#include <atomic>
#include <cstdint>
#include <new>

#include "large_pages.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/threadpool.h"

namespace snt_ops {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// warp.shape[:-1] + data.shape[-1:]. Wrong shapes are errors of the kernels, not of the graph.
absl::Status InferShape(InferenceContext* context) {
  const ShapeHandle data = context->input(0);
  const ShapeHandle warp = context->input(1);
  if (!context->RankKnown(warp)) {
    context->set_output(0, context->UnknownShape());
    return absl::OkStatus();
  }
  ShapeHandle points = warp;
  if (context->Rank(warp) > 0) {
    TF_RETURN_IF_ERROR(context->Subshape(warp, 0, -1, &points));
  }
  ShapeHandle channels = context->Vector(InferenceContext::kUnknownDim);
  if (context->RankKnown(data)) {
    channels = context->Rank(data) > 0 ? context->Vector(context->Dim(data, -1)) : data;
  }
  ShapeHandle output;
  TF_RETURN_IF_ERROR(context->Concatenate(points, channels, &output));
  context->set_output(0, output);
  return absl::OkStatus();
}

absl::Status InferGradShapes(InferenceContext* context) {
  context->set_output(0, context->input(0));
  context->set_output(1, context->input(1));
  return absl::OkStatus();
}

constexpr char kDoc[] = R"(
Samples images at points by bilinear interpolation; an image is surrounded by zeros.

data: [batch, height, width, channels].
warp: [batch, d0, ..., dn, 2]; x (along width) and y of the points, in pixels.
output: [batch, d0, ..., dn, channels].
)";

REGISTER_OP("Resampler")
    .Input("data: T")
    .Input("warp: T")
    .Output("output: T")
    .Attr("T: {half, bfloat16, float, double}")
    .SetShapeFn(InferShape)
    .Doc(kDoc);

REGISTER_OP("ResamplerGrad")
    .Input("data: T")
    .Input("warp: T")
    .Input("grad_output: T")
    .Output("grad_data: T")
    .Output("grad_warp: T")
    .Attr("T: {half, bfloat16, float, double}")
    .SetShapeFn(InferGradShapes);

REGISTER_OP("ResamplerFloatWarp")
    .Input("data: T")
    .Input("warp: float")
    .Output("output: T")
    .Attr("T: {half, bfloat16}")
    .SetShapeFn(InferShape)
    .Doc(kDoc);

REGISTER_OP("ResamplerFloatWarpGrad")
    .Input("data: T")
    .Input("warp: float")
    .Input("grad_output: T")
    .Output("grad_data: T")
    .Output("grad_warp: float")
    .Attr("T: {half, bfloat16}")
    .SetShapeFn(InferGradShapes);

// TensorFlow's own pool of threads.
class Pool : public ParallelFor {
 public:
  explicit Pool(tensorflow::OpKernelContext* context)
      : workers_(*context->device()->tensorflow_cpu_worker_threads()) {}

  int Threads() const override { return workers_.num_threads; }

  void Run(std::int64_t total, std::int64_t cost, const Work& work) override {
    const auto guarded = [&](std::int64_t begin, std::int64_t end) {
      try {
        work(begin, end);
      } catch (const std::bad_alloc&) {  // it must not leave a thread of TensorFlow
        out_of_memory_ = true;
      }
    };
    if (MostPieces(total, cost) == 1) {  // TensorFlow would wake another thread all the same
      guarded(0, total);
      return;
    }
    using tensorflow::thread::ThreadPool;
    const auto adaptive = ThreadPool::SchedulingParams::Adaptive(cost);
    workers_.workers->ParallelFor(total, adaptive, guarded);
  }

  absl::Status status() const {
    if (!out_of_memory_) return absl::OkStatus();
    return absl::ResourceExhaustedError("Not enough memory for the sums of the resampler");
  }

 private:
  const tensorflow::DeviceBase::CpuWorkerThreads& workers_;
  std::atomic<bool> out_of_memory_{false};
};

template <typename Data, typename Warp>
struct CpuEngine {
  static absl::Status Forward(tensorflow::OpKernelContext* context, const ResamplerShape& shape,
                              const Data* data, const Warp* warp, Data* output) {
    AdviseLargePages(output, shape.batch * shape.points * shape.channels * sizeof(Data));
    Pool pool(context);
    ResamplerForward(shape, data, warp, output, pool);
    return pool.status();
  }

  static absl::Status Backward(tensorflow::OpKernelContext* context, const ResamplerShape& shape,
                               const Data* data, const Warp* warp, const Data* grad_output,
                               Data* grad_data, Warp* grad_warp) {
    AdviseLargePages(grad_data,
                     shape.batch * shape.height * shape.width * shape.channels * sizeof(Data));
    AdviseLargePages(grad_warp, shape.batch * shape.points * 2 * sizeof(Warp));
    Pool pool(context);
    ResamplerBackward(shape, data, warp, grad_output, grad_data, grad_warp, pool);
    return pool.status();
  }
};

SNT_OPS_REGISTER_KERNELS(DEVICE_CPU, CpuEngine)

}  // namespace
}  // namespace snt_ops
