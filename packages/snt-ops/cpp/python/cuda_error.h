// CUDA's errors as exceptions, its streams as DLPack numbers them, its device for a while.
#ifndef SNT_OPS_PYTHON_CUDA_ERROR_H_
#define SNT_OPS_PYTHON_CUDA_ERROR_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace snt_ops {
namespace python {

inline void Check(cudaError_t error) {
  if (error == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it was told, and is not the next call's
  throw std::runtime_error(std::string(cudaGetErrorName(error)) + ": " +
                           cudaGetErrorString(error));
}

// DLPack's 1 and 2 are the values of CUDA's handles cudaStreamLegacy and cudaStreamPerThread.
inline cudaStream_t StreamOf(std::int64_t number) {
  return reinterpret_cast<cudaStream_t>(static_cast<std::intptr_t>(number));
}

class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    Check(cudaGetDevice(&before_));
    if (device != before_) Check(cudaSetDevice(device));
    changed_ = device != before_;
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(before_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace python
}  // namespace snt_ops

#endif  // SNT_OPS_PYTHON_CUDA_ERROR_H_
