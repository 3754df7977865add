// An array that a binding was given, and the checks that all bindings make before any kernel runs.
#ifndef SNT_OPS_PYTHON_ARRAY_VIEW_H_
#define SNT_OPS_PYTHON_ARRAY_VIEW_H_

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "snt_ops/resampler.h"

namespace snt_ops {
namespace python {

namespace py = pybind11;

using Shape = std::vector<std::int64_t>;

enum class Type { kFloat16, kBFloat16, kFloat32, kFloat64 };

inline const char* NameOf(Type type) {
  constexpr const char* names[] = {"float16", "bfloat16", "float32", "float64"};
  return names[static_cast<int>(type)];
}

inline std::int64_t BytesOf(Type type) {
  return type == Type::kFloat64 ? 8 : type == Type::kFloat32 ? 4 : 2;
}

// Dense and row-major numbers. Whoever makes a view has checked its layout.
struct ArrayView {
  std::string name;  // what the user calls it: "warp"
  void* pointer = nullptr;
  Shape shape;
  Type type = Type::kFloat32;
};

inline std::string Text(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

// The number of elements. Also where one size is 0, the others must not overflow together: they
// are multiplied in parts.
inline std::int64_t CountOf(const Shape& shape, const std::string& name) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) throw py::value_error(name + " has a negative size: " + Text(shape) + ".");
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, size, &count) || count > INT64_MAX / 16) {
      throw py::value_error(name + " is too large: " + Text(shape) + ".");
    }
  }
  return empty ? 0 : count;
}

// Sizes of the problem of `data` and `warp`, or ValueError or TypeError.
inline ResamplerShape CheckInputs(const ArrayView& data, const ArrayView& warp) {
  const bool half = data.type == Type::kFloat16 || data.type == Type::kBFloat16;
  if (warp.type != data.type && !(half && warp.type == Type::kFloat32)) {
    throw py::type_error(std::string("warp is of type ") + NameOf(warp.type) + ", data of type " +
                         NameOf(data.type) + ": warp must be of type " + NameOf(data.type) +
                         (half ? " or float32." : ".") + " Convert it first.");
  }
  if (data.shape.size() != 4) {
    throw py::value_error(
        "Only bilinear interpolation is currently supported: data must be [batch, height, width, "
        "channels], but its shape is " +
        Text(data.shape) + ".");
  }
  if (warp.shape.size() < 2) {
    throw py::value_error("warp should be at least a matrix [batch, 2], but its shape is " +
                          Text(warp.shape) + ".");
  }
  if (warp.shape.back() != 2) {
    throw py::value_error(
        "Only bilinear interpolation is supported, warping points of two coordinates: the last "
        "size of warp must be 2, but its shape is " +
        Text(warp.shape) + ".");
  }
  if (warp.shape[0] != data.shape[0]) {
    throw py::value_error("Batch size of data and warp tensor must be the same, but data has the "
                          "shape " +
                          Text(data.shape) + " and warp " + Text(warp.shape) + ".");
  }
  CountOf(data.shape, "data");
  CountOf(warp.shape, "warp");
  ResamplerShape shape;
  shape.batch = data.shape[0];
  shape.height = data.shape[1];
  shape.width = data.shape[2];
  shape.channels = data.shape[3];
  shape.points = 1;
  for (std::size_t i = 1; i + 1 < warp.shape.size(); ++i) shape.points *= warp.shape[i];
  return shape;
}

// The shape of the result of resampling. Call CheckInputs before.
inline Shape OutputShape(const ArrayView& data, const ArrayView& warp) {
  Shape shape(warp.shape.begin(), warp.shape.end() - 1);
  shape.push_back(data.shape[3]);
  CountOf(shape, "the result");
  return shape;
}

// Raises where `array`, which is read or written, is not of this shape and type.
inline void CheckIs(const ArrayView& array, const Shape& shape, Type type) {
  if (array.type != type) {
    throw py::type_error(array.name + " is of type " + NameOf(array.type) + ", but must be of "
                         "type " + NameOf(type) + ". Convert it first.");
  }
  if (array.shape != shape) {
    throw py::value_error(array.name + " shape must be " + Text(shape) + ", but is " +
                          Text(array.shape) + ".");
  }
}

}  // namespace python
}  // namespace snt_ops

#endif  // SNT_OPS_PYTHON_ARRAY_VIEW_H_
