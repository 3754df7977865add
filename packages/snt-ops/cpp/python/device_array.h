// Results on a GPU for libraries that we cannot ask for memory.
#ifndef SNT_OPS_PYTHON_DEVICE_ARRAY_H_
#define SNT_OPS_PYTHON_DEVICE_ARRAY_H_

#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "array_view.h"
#include "cuda_error.h"
#include "dlpack.h"

namespace snt_ops {
namespace python {

// Memory of our own, lent by DLPack and `__cuda_array_interface__`. It is handed out when all work
// on it is done, so it is ready on every stream.
class DeviceArray {
 public:
  DeviceArray(Shape shape, Type type, int device)
      : shape_(std::move(shape)), type_(type), device_(device) {
    const DeviceGuard guard(device);
    void* pointer = nullptr;
    const std::int64_t bytes = CountOf(shape_, "the result") * BytesOf(type);
    if (bytes > 0) Check(cudaMalloc(&pointer, static_cast<std::size_t>(bytes)));
    // cudaFree waits for work on the memory in all streams.
    memory_ = std::shared_ptr<void>(pointer, [](void* memory) { cudaFree(memory); });
  }

  const Shape& shape() const { return shape_; }
  Type type() const { return type_; }
  py::tuple Device() const { return py::make_tuple(int{dlpack::kCuda}, device_); }

  py::dict Interface() const {
    if (type_ == Type::kBFloat16) {
      throw py::attribute_error("__cuda_array_interface__ has no bfloat16; use DLPack.");
    }
    py::dict interface;
    interface["shape"] = py::tuple(py::cast(shape_));
    interface["typestr"] = "<f" + std::to_string(BytesOf(type_));
    interface["data"] =
        py::make_tuple(reinterpret_cast<std::uintptr_t>(memory_.get()), false);
    interface["strides"] = py::none();
    interface["stream"] = py::none();
    interface["version"] = 3;
    return interface;
  }

  py::capsule Lend(const py::object& /*stream*/, const py::object& max_version,
                   const py::object& dl_device, const py::object& copy) const {
    if (!dl_device.is_none() && !dl_device.equal(Device())) {
      throw py::buffer_error("This array is on another device and is not copied.");
    }
    if (!copy.is_none() && py::cast<bool>(copy)) {
      throw py::buffer_error("This array is lent, not copied.");
    }
    if (!max_version.is_none() && py::cast<int>(py::tuple(max_version)[0]) >= 1) {
      return LendAs<dlpack::ManagedTensorVersioned>(dlpack::kVersionedName);
    }
    return LendAs<dlpack::ManagedTensor>(dlpack::kName);
  }

 private:
  // What a consumer gets, and what keeps it alive.
  template <typename Managed>
  struct Loan {
    Managed managed;
    Shape shape;
    Shape strides;
    std::shared_ptr<void> memory;
  };

  template <typename Managed>
  py::capsule LendAs(const char* name) const {
    auto loan = std::make_unique<Loan<Managed>>();
    loan->shape = shape_;
    loan->strides.assign(shape_.size(), 1);
    for (std::size_t axis = shape_.size(); axis-- > 1;) {
      loan->strides[axis - 1] =
          loan->strides[axis] * std::max<std::int64_t>(1, shape_[axis]);
    }
    loan->memory = memory_;
    Managed& managed = loan->managed;
    dlpack::Tensor& tensor = managed.tensor;
    tensor.data = memory_.get();
    tensor.device = {dlpack::kCuda, device_};
    tensor.ndim = static_cast<std::int32_t>(shape_.size());
    const std::uint8_t code =
        type_ == Type::kBFloat16 ? std::uint8_t{dlpack::kBFloat} : std::uint8_t{dlpack::kFloat};
    tensor.dtype = {code, static_cast<std::uint8_t>(8 * BytesOf(type_)), 1};
    tensor.shape = loan->shape.data();
    tensor.strides = loan->strides.data();
    tensor.byte_offset = 0;
    managed.manager_context = loan.get();
    managed.deleter = [](Managed* lent) {
      delete static_cast<Loan<Managed>*>(lent->manager_context);
    };
    if constexpr (std::is_same_v<Managed, dlpack::ManagedTensorVersioned>) {
      managed.version = {1, 0};
      managed.flags = 0;
    }
    // A capsule that nobody took over, so still of its name, gives the array back itself.
    PyObject* const capsule = PyCapsule_New(&managed, name, [](PyObject* object) {
      constexpr const char* unused = std::is_same_v<Managed, dlpack::ManagedTensor>
                                         ? dlpack::kName
                                         : dlpack::kVersionedName;
      if (!PyCapsule_IsValid(object, unused)) return;
      auto* const lent = static_cast<Managed*>(PyCapsule_GetPointer(object, unused));
      lent->deleter(lent);
    });
    if (capsule == nullptr) throw py::error_already_set();
    static_cast<void>(loan.release());
    return py::reinterpret_steal<py::capsule>(capsule);
  }

  Shape shape_;
  Type type_;
  int device_;
  std::shared_ptr<void> memory_;
};

}  // namespace python
}  // namespace snt_ops

#endif  // SNT_OPS_PYTHON_DEVICE_ARRAY_H_
