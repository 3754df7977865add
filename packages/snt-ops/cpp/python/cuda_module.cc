// snt_ops._resampler_cuda: the resampler for arrays on a GPU. It can be imported without a driver.
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "array_view.h"
#include "cuda_error.h"
#include "device_array.h"
#include "device_view.h"
#include "snt_ops/resampler_cuda.h"

namespace snt_ops {
namespace python {
namespace {

ElementType CodeOf(Type type) { return static_cast<ElementType>(static_cast<int>(type)); }
static_assert(static_cast<int>(ElementType::kFloat16) == static_cast<int>(Type::kFloat16));
static_assert(static_cast<int>(ElementType::kBFloat16) == static_cast<int>(Type::kBFloat16));
static_assert(static_cast<int>(ElementType::kFloat32) == static_cast<int>(Type::kFloat32));
static_assert(static_cast<int>(ElementType::kFloat64) == static_cast<int>(Type::kFloat64));

void CheckCode(int code) {
  if (code == cudaErrorNotSupported) {
    throw py::value_error("The problem is too large for this way to compute it.");
  }
  Check(static_cast<cudaError_t>(code));
}

void CheckSameDevice(const DeviceView& array, const DeviceView& data) {
  // An empty array may not know where it is.
  if (array.device() == data.device() || array.count() == 0 || data.count() == 0) return;
  throw py::value_error(array.view().name + " is on GPU " + std::to_string(array.device()) +
                        ", data on GPU " + std::to_string(data.device()) + ".");
}

ResamplerShape CheckAll(const DeviceView& data, const DeviceView& warp) {
  CheckSameDevice(warp, data);
  return CheckInputs(data.view(), warp.view());
}

Shape ResultShape(const DeviceView& data, const DeviceView& warp) {
  CheckAll(data, warp);
  return OutputShape(data.view(), warp.view());
}

void Resample(const DeviceView& data, const DeviceView& warp, const DeviceView& output,
              std::int64_t stream) {
  const ResamplerShape shape = CheckAll(data, warp);
  CheckSameDevice(output, data);
  CheckIs(output.view(), OutputShape(data.view(), warp.view()), data.view().type);
  const DeviceGuard guard(data.device());
  CheckCode(ResamplerForwardCuda(CodeOf(data.view().type), CodeOf(warp.view().type), shape,
                                 data.view().pointer, warp.view().pointer, output.view().pointer,
                                 StreamOf(stream)));
}

std::int64_t GradWorkspace(const DeviceView& data, const DeviceView& warp,
                           const DeviceView& grad_output, bool deterministic) {
  const ResamplerShape shape = CheckAll(data, warp);
  CheckSameDevice(grad_output, data);
  CheckIs(grad_output.view(), OutputShape(data.view(), warp.view()), data.view().type);
  const DeviceGuard guard(data.device());
  std::int64_t bytes = 0;
  CheckCode(ResamplerBackwardCudaWorkspace(CodeOf(data.view().type), CodeOf(warp.view().type),
                                           shape, deterministic, &bytes));
  return bytes;
}

void ResampleGrad(const DeviceView& data, const DeviceView& warp, const DeviceView& grad_output,
                  const DeviceView& grad_data, const DeviceView& grad_warp,
                  const DeviceView& workspace, bool deterministic, std::int64_t stream) {
  const ResamplerShape shape = CheckAll(data, warp);
  for (const DeviceView* array : {&grad_output, &grad_data, &grad_warp, &workspace}) {
    CheckSameDevice(*array, data);
  }
  CheckIs(grad_output.view(), OutputShape(data.view(), warp.view()), data.view().type);
  CheckIs(grad_data.view(), data.view().shape, data.view().type);
  CheckIs(grad_warp.view(), warp.view().shape, warp.view().type);
  const DeviceGuard guard(data.device());
  CheckCode(ResamplerBackwardCuda(
      CodeOf(data.view().type), CodeOf(warp.view().type), shape, data.view().pointer,
      warp.view().pointer, grad_output.view().pointer, grad_data.view().pointer,
      grad_warp.view().pointer, workspace.view().pointer,
      workspace.count() * BytesOf(workspace.view().type), deterministic, StreamOf(stream)));
}

Type TypeOf(const std::string& name, const std::string& array) {
  for (const Type type : {Type::kFloat16, Type::kBFloat16, Type::kFloat32, Type::kFloat64}) {
    if (name == NameOf(type)) return type;
  }
  throw py::type_error(array + " is of type " + name +
                       ", but must be of type float16, bfloat16, float32 or float64. Convert it "
                       "first.");
}

int DeviceCount() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  return count;
}

PYBIND11_MODULE(_resampler_cuda, module) {
  module.doc() = "The resampler for arrays on a GPU. Use snt_ops.numpy.";

  py::class_<DeviceView>(module, "View")
      .def(py::init<const py::object&, std::string, std::int64_t, bool>(), py::arg("array"),
           py::arg("name"), py::arg("stream"), py::arg("written") = false)
      .def(py::init([](const py::object& array, std::uintptr_t pointer, Shape shape,
                       const std::string& dtype, int device, std::string name) {
             const Type type = TypeOf(dtype, name);
             return DeviceView(array, pointer, std::move(shape), type, device, std::move(name));
           }),
           py::arg("array"), py::arg("pointer"), py::arg("shape"), py::arg("dtype"),
           py::arg("device"), py::arg("name"))
      .def_property_readonly("shape",
                             [](const DeviceView& self) {
                               return py::tuple(py::cast(self.view().shape));
                             })
      .def_property_readonly("dtype",
                             [](const DeviceView& self) { return NameOf(self.view().type); })
      .def_property_readonly("device", &DeviceView::device);

  py::class_<DeviceArray>(module, "DeviceArray")
      .def(py::init([](const Shape& shape, const std::string& dtype, int device) {
             return DeviceArray(shape, TypeOf(dtype, "the array"), device);
           }),
           py::arg("shape"), py::arg("dtype"), py::arg("device"))
      .def_property_readonly("shape",
                             [](const DeviceArray& self) {
                               return py::tuple(py::cast(self.shape()));
                             })
      .def_property_readonly("dtype", [](const DeviceArray& self) { return NameOf(self.type()); })
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::Interface)
      .def("__dlpack_device__", &DeviceArray::Device)
      .def("__dlpack__", &DeviceArray::Lend, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
           py::arg("copy") = py::none());

  module.def("result_shape",
             [](const DeviceView& data, const DeviceView& warp) {
               return py::tuple(py::cast(ResultShape(data, warp)));
             },
             py::arg("data"), py::arg("warp"));
  module.def("resample", &Resample, py::arg("data"), py::arg("warp"), py::arg("output"),
             py::arg("stream"));
  module.def("grad_workspace", &GradWorkspace, py::arg("data"), py::arg("warp"),
             py::arg("grad_output"), py::arg("deterministic"));
  module.def("resample_grad", &ResampleGrad, py::arg("data"), py::arg("warp"),
             py::arg("grad_output"), py::arg("grad_data"), py::arg("grad_warp"),
             py::arg("workspace"), py::arg("deterministic"), py::arg("stream"));
  module.def("synchronize",
             [](int device, std::int64_t stream) {
               const py::gil_scoped_release release;
               const DeviceGuard guard(device);
               Check(cudaStreamSynchronize(StreamOf(stream)));
             },
             py::arg("device"), py::arg("stream"));
  module.def("device_count", &DeviceCount);
  module.def("cuda_version", &ResamplerCudaVersion);
}

}  // namespace
}  // namespace python
}  // namespace snt_ops
