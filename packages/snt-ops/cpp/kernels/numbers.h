// Short vectors, and the conversion of what is in memory to what is computed with.
//
// Everything has internal linkage: each instruction set compiles this file anew.
#ifndef SNT_OPS_KERNELS_NUMBERS_H_
#define SNT_OPS_KERNELS_NUMBERS_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "snt_ops/resampler.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

#define SNT_OPS_INLINE inline __attribute__((always_inline))

namespace snt_ops {
namespace SNT_OPS_LEVEL {
namespace {

// What is computed with: double for double, float for all others.
template <typename Data>
using Compute = std::conditional_t<std::is_same_v<Data, double>, double, float>;

template <typename Number, int lanes>
struct VectorOf {
  typedef Number type __attribute__((vector_size(lanes * sizeof(Number))));
};

template <typename Number>
struct VectorOf<Number, 1> {
  typedef Number type;
};

template <typename Number, int lanes>
using Vector = typename VectorOf<Number, lanes>::type;

using Floats = Vector<float, 8>;
using Ints = Vector<std::int32_t, 8>;

// `a` where all bits of `which` are set, `b` where none is.
SNT_OPS_INLINE Floats Select(Ints which, Floats a, Floats b) {
  return reinterpret_cast<Floats>((which & reinterpret_cast<Ints>(a)) |
                                  (~which & reinterpret_cast<Ints>(b)));
}

SNT_OPS_INLINE Floats OrZero(Ints which, Floats a) {
  return reinterpret_cast<Floats>(which & reinterpret_cast<Ints>(a));
}

// A vector is summed in halves, in the same order on every processor.
template <typename Number>
SNT_OPS_INLINE Number Sum(Number v) {
  return v;
}
SNT_OPS_INLINE float Sum(Vector<float, 2> v) { return v[0] + v[1]; }
SNT_OPS_INLINE double Sum(Vector<double, 2> v) { return v[0] + v[1]; }
SNT_OPS_INLINE float Sum(Vector<float, 4> v) {
  return Sum(__builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3));
}
SNT_OPS_INLINE double Sum(Vector<double, 4> v) {
  return Sum(__builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3));
}
SNT_OPS_INLINE float Sum(Vector<float, 8> v) {
  return Sum(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}

SNT_OPS_INLINE float FromBits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

SNT_OPS_INLINE std::uint32_t ToBits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

SNT_OPS_INLINE float ToNumber(float value) { return value; }
SNT_OPS_INLINE double ToNumber(double value) { return value; }
SNT_OPS_INLINE float ToNumber(BFloat16 value) { return FromBits(std::uint32_t{value.bits} << 16); }

SNT_OPS_INLINE float ToNumber(Half value) {
#if defined(__F16C__)
  return _cvtsh_ss(value.bits);
#else
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 31u;
  const std::uint32_t mantissa = value.bits & 1023u;
  if (exponent == 0) {  // a multiple of 2^-24
    return FromBits(sign | ToBits(static_cast<float>(mantissa) * 0x1p-24f));
  }
  if (exponent == 31) {
    const std::uint32_t quiet = mantissa ? 0x400000u : 0u;
    return FromBits(sign | 0x7f800000u | quiet | mantissa << 13);
  }
  return FromBits(sign | (exponent + 112u) << 23 | mantissa << 13);
#endif
}

// To the nearest, ties to even; like the processor's own conversion where it has one.
SNT_OPS_INLINE void FromNumber(float value, float* to) { *to = value; }
SNT_OPS_INLINE void FromNumber(double value, double* to) { *to = value; }

SNT_OPS_INLINE void FromNumber(float value, BFloat16* to) {
  const std::uint32_t bits = ToBits(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to->bits = static_cast<std::uint16_t>(nan ? (bits >> 16 | 0x40u) : rounded);
}

SNT_OPS_INLINE void FromNumber(float value, Half* to) {
#if defined(__F16C__)
  to->bits = static_cast<std::uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
#else
  const std::uint32_t bits = ToBits(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t size = bits & 0x7fffffffu;
  std::uint32_t half;
  if (size > 0x7f800000u) {
    half = 0x7e00u | ((size >> 13) & 0x1ffu);
  } else if (size >= 0x47800000u) {  // 65536 and more
    half = 0x7c00u;
  } else if (size < 0x38800000u) {
    // Below 2^-14 the results are multiples of 2^-24: adding 1/2 lets the processor round to them.
    half = ToBits(FromBits(size) + 0.5f) - 0x3f000000u;
  } else {
    half = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  }
  to->bits = static_cast<std::uint16_t>(sign | half);
#endif
}

SNT_OPS_INLINE Floats Join(Vector<float, 4> a, Vector<float, 4> b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
}

// Reads or writes so many numbers that lie side by side, aligned or not.
template <int lanes, typename Data>
SNT_OPS_INLINE Vector<Compute<Data>, lanes> Load(const Data* from) {
  using Result = Vector<Compute<Data>, lanes>;
  if constexpr (lanes == 1) {
    return ToNumber(*from);
  } else if constexpr (std::is_floating_point_v<Data>) {
    Result result;
    std::memcpy(&result, from, sizeof result);
    return result;
  } else {
#if defined(__F16C__)
    if constexpr (std::is_same_v<Data, Half> && lanes == 8) {
      __m128i bits;
      std::memcpy(&bits, from, sizeof bits);
      return reinterpret_cast<Result>(_mm256_cvtph_ps(bits));
    }
#endif
    if constexpr (std::is_same_v<Data, BFloat16>) {
      Vector<std::uint16_t, lanes> bits;
      std::memcpy(&bits, from, sizeof bits);
      return reinterpret_cast<Result>(
          __builtin_convertvector(bits, Vector<std::uint32_t, lanes>) << 16);
    } else {
      Result result;
      for (int i = 0; i < lanes; ++i) result[i] = ToNumber(from[i]);
      return result;
    }
  }
}

template <int lanes, typename Data>
SNT_OPS_INLINE void Store(Vector<Compute<Data>, lanes> value, Data* to) {
  if constexpr (lanes == 1) {
    FromNumber(value, to);
  } else if constexpr (std::is_floating_point_v<Data>) {
    std::memcpy(to, &value, sizeof value);
  } else {
#if defined(__F16C__)
    if constexpr (std::is_same_v<Data, Half> && lanes == 8) {
      const __m128i bits = _mm256_cvtps_ph(reinterpret_cast<__m256>(value),
                                           _MM_FROUND_TO_NEAREST_INT);
      std::memcpy(to, &bits, sizeof bits);
      return;
    }
#endif
    for (int i = 0; i < lanes; ++i) FromNumber(value[i], to + i);
  }
}

// How many numbers are taken at once where a pixel has so many channels (0: not known in advance).
template <typename Number, int channels>
constexpr int LanesFor() {
  if constexpr (channels == 0) {
    return sizeof(Number) == 4 ? 8 : 4;
  } else {
    return channels == 2 || channels == 4 ? channels : 1;
  }
}

}  // namespace
}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_NUMBERS_H_
