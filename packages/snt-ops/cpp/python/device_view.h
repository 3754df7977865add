// Arrays on a GPU that other libraries lend: by DLPack, or by `__cuda_array_interface__`.
#ifndef SNT_OPS_PYTHON_DEVICE_VIEW_H_
#define SNT_OPS_PYTHON_DEVICE_VIEW_H_

#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "array_view.h"
#include "cuda_error.h"
#include "dlpack.h"

namespace snt_ops {
namespace python {

// A borrowed array. What lends it is kept until the view is gone.
class DeviceView {
 public:
  // `stream` is the one that the array will be used on, numbered as DLPack does: 1 is the legacy
  // default stream, 2 the one of the thread, others are addresses. The lender sees to it that work
  // on this stream comes after what it has not finished.
  DeviceView(const py::object& array, std::string name, std::int64_t stream, bool written) {
    view_.name = std::move(name);
    written_ = written;
    // An object may offer both: DLPack knows bfloat16 and the device.
    if (py::hasattr(array, "__dlpack__") && py::hasattr(array, "__dlpack_device__")) {
      TakeCapsule(array, stream);
    } else {
      ReadInterface(array, stream);
    }
    if (reinterpret_cast<std::uintptr_t>(view_.pointer) % BytesOf(view_.type) != 0) {
      throw py::value_error(view_.name + " is not aligned to its type. Copy it first.");
    }
    if (view_.pointer == nullptr && count_ != 0) {
      throw py::value_error(view_.name + " of shape " + Text(view_.shape) + " has no memory.");
    }
  }

  // An array of which all is known: dense and row-major, ready on the stream, and kept by `array`.
  DeviceView(const py::object& array, std::uintptr_t pointer, Shape shape, Type type, int device,
             std::string name)
      : device_(device), owner_(std::make_shared<py::object>(array)) {
    view_.name = std::move(name);
    view_.pointer = reinterpret_cast<void*>(pointer);
    view_.shape = std::move(shape);
    view_.type = type;
    count_ = CountOf(view_.shape, view_.name);
  }

  const ArrayView& view() const { return view_; }
  int device() const { return device_; }
  std::int64_t count() const { return count_; }

 private:
  void TakeCapsule(const py::object& array, std::int64_t stream) {
    CheckDevice(array.attr("__dlpack_device__")());
    py::object capsule;
    try {
      capsule = array.attr("__dlpack__")(py::arg("stream") = stream,
                                         py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
      // Lenders from before DLPack 1.0 know no max_version.
      if (!error.matches(PyExc_TypeError)) throw;
      capsule = array.attr("__dlpack__")(py::arg("stream") = stream);
    }
    PyObject* const object = capsule.ptr();
    if (PyCapsule_IsValid(object, dlpack::kVersionedName)) {
      auto* const managed = static_cast<dlpack::ManagedTensorVersioned*>(
          PyCapsule_GetPointer(object, dlpack::kVersionedName));
      Own(object, dlpack::kUsedVersionedName, managed);
      if (managed->version.major != 1) {
        throw py::value_error(view_.name + " is lent by DLPack " +
                              std::to_string(managed->version.major) + ", expected 1.");
      }
      if (written_ && (managed->flags & dlpack::kReadOnly) != 0) ThrowReadOnly();
      Read(managed->tensor);
    } else if (PyCapsule_IsValid(object, dlpack::kName)) {
      auto* const managed =
          static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(object, dlpack::kName));
      Own(object, dlpack::kUsedName, managed);
      Read(managed->tensor);
    } else {
      throw py::type_error(view_.name + ".__dlpack__() gave no unused DLPack capsule, but a " +
                           std::string(py::str(py::type::of(capsule))) + ".");
    }
  }

  // From now on the array is given back by us, and not by the capsule.
  template <typename Managed>
  void Own(PyObject* capsule, const char* used_name, Managed* managed) {
    if (PyCapsule_SetName(capsule, used_name) != 0) throw py::error_already_set();
    owner_ = std::shared_ptr<void>(managed, [](void* lent) {
      auto* const typed = static_cast<Managed*>(lent);
      if (typed->deleter != nullptr) typed->deleter(typed);
    });
  }

  void CheckDevice(const py::tuple& device) {
    const int type = py::cast<int>(py::int_(device[0]));
    device_ = py::cast<int>(py::int_(device[1]));
    if (type != dlpack::kCuda && type != dlpack::kCudaManaged) {
      throw py::value_error(view_.name + " is on a device of DLPack's type " +
                            std::to_string(type) + ", expected 2 or 13: a GPU by CUDA.");
    }
  }

  void Read(const dlpack::Tensor& tensor) {
    const bool on_gpu =
        tensor.device.type == dlpack::kCuda || tensor.device.type == dlpack::kCudaManaged;
    if (!on_gpu || tensor.device.id != device_) {
      throw py::value_error(view_.name + " is not on the device that it says it is on.");
    }
    const dlpack::DataType& dtype = tensor.dtype;
    if (dtype.lanes == 1 && dtype.code == dlpack::kFloat && dtype.bits == 16) {
      view_.type = Type::kFloat16;
    } else if (dtype.lanes == 1 && dtype.code == dlpack::kBFloat && dtype.bits == 16) {
      view_.type = Type::kBFloat16;
    } else if (dtype.lanes == 1 && dtype.code == dlpack::kFloat && dtype.bits == 32) {
      view_.type = Type::kFloat32;
    } else if (dtype.lanes == 1 && dtype.code == dlpack::kFloat && dtype.bits == 64) {
      view_.type = Type::kFloat64;
    } else {
      ThrowType("DLPack's " + std::to_string(dtype.code) + " of " + std::to_string(dtype.bits) +
                " bits");
    }
    for (int i = 0; i < tensor.ndim; ++i) view_.shape.push_back(tensor.shape[i]);
    count_ = CountOf(view_.shape, view_.name);
    if (tensor.strides != nullptr) {
      CheckDense([&](std::size_t axis) { return tensor.strides[axis]; }, 1);
    }
    view_.pointer = tensor.data == nullptr
                        ? nullptr
                        : static_cast<char*>(tensor.data) + tensor.byte_offset;
  }

  void ReadInterface(const py::object& array, std::int64_t stream) {
    const py::dict interface = array.attr("__cuda_array_interface__");
    owner_ = std::make_shared<py::object>(array);
    const std::string type = py::cast<std::string>(interface["typestr"]);
    if (type == "<f2") {
      view_.type = Type::kFloat16;
    } else if (type == "<f4") {
      view_.type = Type::kFloat32;
    } else if (type == "<f8") {
      view_.type = Type::kFloat64;
    } else {
      ThrowType(type);
    }
    for (const py::handle size : py::tuple(interface["shape"])) {
      view_.shape.push_back(py::cast<std::int64_t>(size));
    }
    count_ = CountOf(view_.shape, view_.name);
    const auto given = [&](const char* key) {
      return interface.contains(key) && !py::object(interface[key]).is_none();
    };
    if (given("mask")) throw py::value_error(view_.name + " has a mask, expected none.");
    if (given("strides")) {
      const py::tuple strides = interface["strides"];
      if (strides.size() != view_.shape.size()) {
        throw py::value_error(view_.name + " has not as many strides as sizes.");
      }
      CheckDense([&](std::size_t axis) { return py::cast<std::int64_t>(strides[axis]); },
                 BytesOf(view_.type));
    }
    const py::tuple data = interface["data"];
    view_.pointer = reinterpret_cast<void*>(py::cast<std::uintptr_t>(data[0]));
    if (written_ && py::cast<bool>(data[1])) ThrowReadOnly();
    if (view_.pointer != nullptr) {
      cudaPointerAttributes attributes;
      Check(cudaPointerGetAttributes(&attributes, view_.pointer));
      if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged) {
        throw py::value_error(view_.name + " is not in the memory of a GPU.");
      }
      device_ = attributes.device;
    } else {
      Check(cudaGetDevice(&device_));
    }
    if (given("stream")) WaitFor(py::cast<std::int64_t>(interface["stream"]), stream);
  }

  // Lets `stream` wait for what is on `other` by now. The same numbers are CUDA's own handles.
  void WaitFor(std::int64_t other, std::int64_t stream) {
    if (other == 0) throw py::value_error(view_.name + " names stream 0, which is ambiguous.");
    if (other == stream) return;
    const DeviceGuard guard(device_);
    cudaEvent_t event;
    Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    cudaError_t error = cudaEventRecord(event, StreamOf(other));
    if (error == cudaSuccess) error = cudaStreamWaitEvent(StreamOf(stream), event, 0);
    cudaEventDestroy(event);  // when it is over
    Check(error);
  }

  // Axes of size 1 may have any stride, and so may all where there are no elements.
  template <typename StrideOf>
  void CheckDense(const StrideOf& stride_of, std::int64_t dense) const {
    if (count_ == 0) return;
    for (std::size_t axis = view_.shape.size(); axis-- > 0;) {
      if (view_.shape[axis] != 1 && stride_of(axis) != dense) {
        throw py::value_error(view_.name + " of shape " + Text(view_.shape) +
                              " is not C-contiguous. Copy it first.");
      }
      dense *= view_.shape[axis];
    }
  }

  [[noreturn]] void ThrowReadOnly() const {
    throw py::value_error(view_.name + " is read-only, but would be written.");
  }

  [[noreturn]] void ThrowType(const std::string& type) const {
    throw py::type_error(view_.name + " is of type " + type +
                         ", but must be of type float16, bfloat16 (by DLPack alone), float32 or "
                         "float64. Convert it first.");
  }

  ArrayView view_;
  int device_ = 0;
  std::int64_t count_ = 0;
  bool written_ = false;
  std::shared_ptr<void> owner_;
};

}  // namespace python
}  // namespace snt_ops

#endif  // SNT_OPS_PYTHON_DEVICE_VIEW_H_
