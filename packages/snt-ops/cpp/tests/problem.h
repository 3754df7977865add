// Problems for the tests of the kernels: sizes, numbers, and memory with no room to spare.
#ifndef SNT_OPS_TESTS_PROBLEM_H_
#define SNT_OPS_TESTS_PROBLEM_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "snt_ops/resampler.h"

namespace snt_ops {

// Exact blocks from the heap, so that AddressSanitizer sees one element too far.
template <typename T>
struct Array {
  explicit Array(std::int64_t count) : size(count), numbers(new T[count]) {
    std::memset(static_cast<void*>(numbers.get()), 0xcd, count * sizeof(T));
  }
  T* data() { return numbers.get(); }
  T& operator[](std::int64_t i) { return numbers[i]; }
  std::int64_t size;
  std::unique_ptr<T[]> numbers;
};

inline void Set(double value, double* to) { *to = value; }
inline void Set(double value, float* to) { *to = static_cast<float>(value); }
inline void Set(double value, BFloat16* to) {
  const float number = static_cast<float>(value);
  std::uint32_t bits;
  std::memcpy(&bits, &number, 4);
  to->bits = static_cast<std::uint16_t>(bits >> 16);
}
inline double Get(double value) { return value; }
inline double Get(float value) { return value; }
inline double Get(BFloat16 value) {
  const std::uint32_t bits = std::uint32_t{value.bits} << 16;
  float number;
  std::memcpy(&number, &bits, 4);
  return number;
}
// By the definition of the format, with no bit tricks of the kernels.
inline double Get(Half value) {
  const int exponent = value.bits >> 10 & 31;
  const int mantissa = value.bits & 1023;
  double size = exponent ? (1024 + mantissa) * __builtin_ldexp(1.0, exponent - 25)
                         : mantissa * __builtin_ldexp(1.0, -24);
  if (exponent == 31) size = mantissa ? __builtin_nan("") : __builtin_inf();
  return value.bits & 0x8000 ? -size : size;
}
// Toward zero: only numbers that are exact in half are asked for where it matters.
inline void Set(double value, Half* to) {
  std::uint16_t low = 0, high = 0x7c00;
  const double size = value < 0 ? -value : value;
  if (value != value) {
    to->bits = 0x7e00;
    return;
  }
  while (high - low > 1) {
    const std::uint16_t middle = static_cast<std::uint16_t>((low + high) / 2);
    (Get(Half{middle}) <= size ? low : high) = middle;
  }
  if (size == __builtin_inf()) low = 0x7c00;
  to->bits = static_cast<std::uint16_t>(low | (value < 0 ? 0x8000 : 0));
}

template <typename Data, typename Warp>
struct Problem {
  explicit Problem(const ResamplerShape& sizes)
      : shape(sizes),
        data(sizes.batch * sizes.height * sizes.width * sizes.channels),
        warp(sizes.batch * sizes.points * 2),
        output(sizes.batch * sizes.points * sizes.channels),
        grad_output(output.size),
        grad_data(data.size),
        grad_warp(warp.size) {}

  void Run(ParallelFor& parallel) {
    ResamplerForward(shape, data.data(), warp.data(), output.data(), parallel);
    ResamplerBackward(shape, data.data(), warp.data(), grad_output.data(), grad_data.data(),
                      grad_warp.data(), parallel);
  }

  // All results, as bytes.
  std::vector<unsigned char> Results() {
    std::vector<unsigned char> bytes;
    const auto append = [&](const void* from, std::int64_t count) {
      const auto* begin = static_cast<const unsigned char*>(from);
      bytes.insert(bytes.end(), begin, begin + count);
    };
    append(output.data(), output.size * sizeof(Data));
    append(grad_data.data(), grad_data.size * sizeof(Data));
    append(grad_warp.data(), grad_warp.size * sizeof(Warp));
    return bytes;
  }

  ResamplerShape shape;
  Array<Data> data;
  Array<Warp> warp;
  Array<Data> output;
  Array<Data> grad_output;
  Array<Data> grad_data;
  Array<Warp> grad_warp;
};

}  // namespace snt_ops

#endif  // SNT_OPS_TESTS_PROBLEM_H_
