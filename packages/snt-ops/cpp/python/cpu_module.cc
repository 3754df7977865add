// snt_ops._resampler_cpu: the resampler for NumPy arrays.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "array_view.h"
#include "snt_ops/resampler.h"
#include "snt_ops/shared_pool.h"

namespace snt_ops {
namespace python {
namespace {

Type TypeOf(const py::array& array, const std::string& name) {
  const py::dtype dtype = array.dtype();
  const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
  if (native && dtype.kind() == 'f') {
    if (dtype.itemsize() == 2) return Type::kFloat16;
    if (dtype.itemsize() == 4) return Type::kFloat32;
    if (dtype.itemsize() == 8) return Type::kFloat64;
  }
  const std::string text = py::str(static_cast<py::handle>(dtype));
  // NumPy knows the type by the package ml_dtypes, if that is imported.
  if (native && dtype.itemsize() == 2 && text == "bfloat16") return Type::kBFloat16;
  throw py::type_error(name + " is of type " + text +
                       ", but must be of type float16, bfloat16, float32 or float64 in the byte "
                       "order of this machine. Convert it first.");
}

ArrayView ViewOf(const py::array& array, const std::string& name) {
  ArrayView view;
  view.name = name;
  view.type = TypeOf(array, name);
  view.shape.assign(array.shape(), array.shape() + array.ndim());
  constexpr int wanted =
      py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((array.flags() & wanted) != wanted) {
    throw py::value_error(name + " of shape " + Text(view.shape) +
                          " is not C-contiguous and aligned. Copy it first: "
                          "numpy.ascontiguousarray(" + name + ").");
  }
  view.pointer = const_cast<void*>(array.data());
  return view;
}

py::array Empty(const Shape& shape, const py::array& like) {
  return py::array(like.dtype(), std::vector<py::ssize_t>(shape.begin(), shape.end()));
}

int CheckThreads(int threads) {
  if (threads < 1) {
    throw py::value_error("threads must be at least 1, but is " + std::to_string(threads) + ".");
  }
  return threads;
}

template <typename T>
constexpr T* kOf = nullptr;

// Calls `function` with null pointers to the types.
template <typename Function>
void ForTypes(Type data, Type warp, const Function& function) {
  const bool wide_warp = warp == Type::kFloat32;
  switch (data) {
    case Type::kFloat16:
      return wide_warp ? function(kOf<Half>, kOf<float>) : function(kOf<Half>, kOf<Half>);
    case Type::kBFloat16:
      return wide_warp ? function(kOf<BFloat16>, kOf<float>)
                       : function(kOf<BFloat16>, kOf<BFloat16>);
    case Type::kFloat32:
      return function(kOf<float>, kOf<float>);
    case Type::kFloat64:
      return function(kOf<double>, kOf<double>);
  }
}

py::array Resample(const py::array& data_array, const py::array& warp_array, int threads) {
  const ArrayView data = ViewOf(data_array, "data");
  const ArrayView warp = ViewOf(warp_array, "warp");
  const ResamplerShape shape = CheckInputs(data, warp);
  py::array result = Empty(OutputShape(data, warp), data_array);
  void* const to = result.mutable_data();
  PooledParallelFor parallel(CheckThreads(threads));
  {
    const py::gil_scoped_release release;
    ForTypes(data.type, warp.type, [&](auto* data_type, auto* warp_type) {
      using Data = std::remove_pointer_t<decltype(data_type)>;
      using Warp = std::remove_pointer_t<decltype(warp_type)>;
      ResamplerForward<Data, Warp>(shape, static_cast<const Data*>(data.pointer),
                                   static_cast<const Warp*>(warp.pointer), static_cast<Data*>(to),
                                   parallel);
    });
  }
  return result;
}

py::tuple ResampleGrad(const py::array& data_array, const py::array& warp_array,
                       const py::array& grad_output_array, int threads) {
  const ArrayView data = ViewOf(data_array, "data");
  const ArrayView warp = ViewOf(warp_array, "warp");
  const ArrayView grad_output = ViewOf(grad_output_array, "grad_output");
  const ResamplerShape shape = CheckInputs(data, warp);
  CheckIs(grad_output, OutputShape(data, warp), data.type);
  py::array grad_data = Empty(data.shape, data_array);
  py::array grad_warp = Empty(warp.shape, warp_array);
  void* const to_data = grad_data.mutable_data();
  void* const to_warp = grad_warp.mutable_data();
  PooledParallelFor parallel(CheckThreads(threads));
  {
    const py::gil_scoped_release release;
    ForTypes(data.type, warp.type, [&](auto* data_type, auto* warp_type) {
      using Data = std::remove_pointer_t<decltype(data_type)>;
      using Warp = std::remove_pointer_t<decltype(warp_type)>;
      ResamplerBackward<Data, Warp>(shape, static_cast<const Data*>(data.pointer),
                                    static_cast<const Warp*>(warp.pointer),
                                    static_cast<const Data*>(grad_output.pointer),
                                    static_cast<Data*>(to_data), static_cast<Warp*>(to_warp),
                                    parallel);
    });
  }
  return py::make_tuple(grad_data, grad_warp);
}

PYBIND11_MODULE(_resampler_cpu, module) {
  module.doc() = "The resampler for NumPy arrays. Use snt_ops.numpy.";
  module.def("resample", &Resample, py::arg("data"), py::arg("warp"), py::arg("threads"));
  module.def("resample_grad", &ResampleGrad, py::arg("data"), py::arg("warp"),
             py::arg("grad_output"), py::arg("threads"));
  module.def("simd_level", &ResamplerSimdLevel);
}

}  // namespace
}  // namespace python
}  // namespace snt_ops
