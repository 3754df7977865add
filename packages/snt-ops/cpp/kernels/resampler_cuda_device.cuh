// What the CUDA kernels of the resampler share: types, vectors, cells, division, additions.
#ifndef SNT_OPS_RESAMPLER_CUDA_DEVICE_CUH_
#define SNT_OPS_RESAMPLER_CUDA_DEVICE_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace snt_ops {
namespace cuda {

constexpr int kThreads = 256;
constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// What sums and weights of a type of data are computed in.
template <typename T>
struct AccumulatorOf {
  using Type = float;
};
template <>
struct AccumulatorOf<double> {
  using Type = double;
};
template <typename T>
using Accumulator = typename AccumulatorOf<T>::Type;

__device__ __forceinline__ float Widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float Widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float Widen(float value) { return value; }
__device__ __forceinline__ double Widen(double value) { return value; }

template <typename T>
__device__ __forceinline__ T Narrow(Accumulator<T> value) {
  return static_cast<T>(value);
}
template <>
__device__ __forceinline__ __half Narrow<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 Narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// An unsigned type of as many bytes, which is moved by one instruction.
template <int bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using Type = unsigned short;
};
template <>
struct WordOf<4> {
  using Type = unsigned;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};

// Loads where `wanted`, else gives 0. A predicate instead of a branch: so the loads of a thread are
// in flight together.
__device__ __forceinline__ unsigned short LoadIf(bool wanted, const unsigned short* from) {
  unsigned short word;
  asm("{.reg .pred p; setp.ne.u32 p, %2, 0; mov.u16 %0, 0; @p ld.global.nc.u16 %0, [%1];}"
      : "=h"(word)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<unsigned>(wanted)));
  return word;
}
__device__ __forceinline__ unsigned LoadIf(bool wanted, const unsigned* from) {
  unsigned word;
  asm("{.reg .pred p; setp.ne.u32 p, %2, 0; mov.u32 %0, 0; @p ld.global.nc.u32 %0, [%1];}"
      : "=r"(word)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<unsigned>(wanted)));
  return word;
}
__device__ __forceinline__ uint2 LoadIf(bool wanted, const uint2* from) {
  uint2 word;
  asm("{.reg .pred p; setp.ne.u32 p, %3, 0; mov.u32 %0, 0; mov.u32 %1, 0;"
      "@p ld.global.nc.v2.u32 {%0, %1}, [%2];}"
      : "=r"(word.x), "=r"(word.y)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<unsigned>(wanted)));
  return word;
}
__device__ __forceinline__ uint4 LoadIf(bool wanted, const uint4* from) {
  uint4 word;
  asm("{.reg .pred p; setp.ne.u32 p, %5, 0;"
      "mov.u32 %0, 0; mov.u32 %1, 0; mov.u32 %2, 0; mov.u32 %3, 0;"
      "@p ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];}"
      : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<unsigned>(wanted)));
  return word;
}

// The two halves of a 32-bit word, and back.
__device__ __forceinline__ float2 WidenPair(__half, unsigned word) {
  __half2 pair;
  memcpy(&pair, &word, sizeof(word));
  return __half22float2(pair);
}
__device__ __forceinline__ float2 WidenPair(__nv_bfloat16, unsigned word) {
  return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
}
__device__ __forceinline__ unsigned NarrowPair(__half, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  unsigned word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}
__device__ __forceinline__ unsigned NarrowPair(__nv_bfloat16, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  unsigned word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

// `size` neighbouring numbers as they lie in memory.
template <typename T, int size>
struct Pack {
  using Word = typename WordOf<sizeof(T) * size>::Type;
  Word word;

  __device__ __forceinline__ void Load(const T* from) {
    word = __ldg(reinterpret_cast<const Word*>(from));
  }
  __device__ __forceinline__ void LoadIf(bool wanted, const T* from) {
    word = cuda::LoadIf(wanted, reinterpret_cast<const Word*>(from));
  }
  // What is written and not read again should not drive the images out of the caches.
  __device__ __forceinline__ void StoreOnce(T* to) const {
    __stcs(reinterpret_cast<Word*>(to), word);
  }
  __device__ __forceinline__ void Get(Accumulator<T> (&values)[size]) const {
    if constexpr (sizeof(T) == 2 && size > 1) {
      unsigned pairs[size / 2];
      memcpy(pairs, &word, sizeof(word));
#pragma unroll
      for (int i = 0; i < size / 2; ++i) {
        const float2 pair = WidenPair(T(), pairs[i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
      }
    } else {
      T parts[size];
      memcpy(parts, &word, sizeof(word));
#pragma unroll
      for (int i = 0; i < size; ++i) values[i] = Widen(parts[i]);
    }
  }
  __device__ __forceinline__ void Set(const Accumulator<T> (&values)[size]) {
    if constexpr (sizeof(T) == 2 && size > 1) {
      unsigned pairs[size / 2];
#pragma unroll
      for (int i = 0; i < size / 2; ++i) {
        pairs[i] = NarrowPair(T(), values[2 * i], values[2 * i + 1]);
      }
      memcpy(&word, pairs, sizeof(word));
    } else {
      T parts[size];
#pragma unroll
      for (int i = 0; i < size; ++i) parts[i] = Narrow<T>(values[i]);
      memcpy(&word, parts, sizeof(word));
    }
  }
};

// Three numbers, the colours of a pixel, fit no word.
template <typename T>
struct Pack<T, 3> {
  Pack<T, 1> parts[3];

  __device__ __forceinline__ void LoadIf(bool wanted, const T* from) {
#pragma unroll
    for (int i = 0; i < 3; ++i) parts[i].LoadIf(wanted, from + i);
  }
  __device__ __forceinline__ void StoreOnce(T* to) const {
#pragma unroll
    for (int i = 0; i < 3; ++i) parts[i].StoreOnce(to + i);
  }
  __device__ __forceinline__ void Get(Accumulator<T> (&values)[3]) const {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      Accumulator<T> value[1];
      parts[i].Get(value);
      values[i] = value[0];
    }
  }
  __device__ __forceinline__ void Set(const Accumulator<T> (&values)[3]) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const Accumulator<T> value[1] = {values[i]};
      parts[i].Set(value);
    }
  }
};

// Division of numbers below 2^31 by a constant, without dividing.
struct Divider {
  unsigned divisor = 1;
  unsigned factor = 1;
  unsigned shift = 0;

  Divider() = default;
  explicit Divider(unsigned by) : divisor(by) {
    while ((std::uint64_t{1} << shift) < by) ++shift;
    const std::uint64_t excess = (std::uint64_t{1} << shift) - by;
    factor = static_cast<unsigned>((excess << 32) / by + 1);
  }
  __device__ __forceinline__ unsigned Quotient(unsigned number) const {
    return (__umulhi(number, factor) + number) >> shift;
  }
};

// The images and the part of the points that one launch works on. `Index` holds all offsets within
// an image: 32 bits cost half the instructions, and most images fit.
template <typename Acc, typename Index>
struct Part {
  Index height;
  Index width;
  Index channels;
  Index row;               // numbers from a row to the next
  std::int64_t image;      // numbers from an image to the next
  Acc limit_x;             // the smallest Acc that is no less than width
  Acc limit_y;
  unsigned points;         // of all images of this launch together
  Divider points_each;     // of an image
  bool aligned_warp;       // x and y can be read, or written, at once
};

// Where a point lies: the cell of pixels (x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1), and how
// far in it, 0 to 1.
template <typename Acc, typename Index>
struct Cell {
  Index x = 0;
  Index y = 0;
  Acc fx = 0;
  Acc fy = 0;
  bool inside = false;  // can some neighbour lie in the image?

  // Which neighbours lie in the image.
  bool left, right, top, bottom;

  __device__ __forceinline__ void Locate(Acc at_x, Acc at_y, const Part<Acc, Index>& part) {
    // Tested before any cast, and so that a NaN fails.
    inside = at_x > Acc(-1) && at_y > Acc(-1) && at_x < part.limit_x && at_y < part.limit_y;
    if (inside) {
      const Acc floor_x = floor(at_x);
      const Acc floor_y = floor(at_y);
      x = static_cast<Index>(floor_x);
      y = static_cast<Index>(floor_y);
      fx = at_x - floor_x;
      fy = at_y - floor_y;
    }
    // The upper limits matter where Acc has no number for a large width.
    left = inside && x >= 0 && x < part.width;
    right = inside && x < part.width - 1;
    top = y >= 0 && y < part.height;
    bottom = y < part.height - 1;
  }
};

template <typename Warp, typename Acc>
__device__ __forceinline__ void LoadPoint(const Warp* from, bool aligned, Acc* x, Acc* y) {
  if (aligned) {
    Pack<Warp, 2> pair;
    pair.Load(from);
    Accumulator<Warp> values[2];
    pair.Get(values);
    *x = values[0];
    *y = values[1];
  } else {
    *x = Widen(from[0]);
    *y = Widen(from[1]);
  }
}

// Adds to memory that other threads add to. The address is aligned to `size` numbers, or 16 bytes.
template <int size>
__device__ __forceinline__ void AtomicAdd(float* to, const float (&values)[size]) {
#if __CUDA_ARCH__ >= 900
  constexpr int vector = size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;
#else
  constexpr int vector = 1;
#endif
  const std::uint64_t address = __cvta_generic_to_global(to);
#pragma unroll
  for (int i = 0; i < size; i += vector) {
    if constexpr (vector == 4) {
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(address + i * 4),
                   "f"(values[i]), "f"(values[i + 1]), "f"(values[i + 2]), "f"(values[i + 3]));
    } else if constexpr (vector == 2) {
      asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(address + i * 4), "f"(values[i]),
                   "f"(values[i + 1]));
    } else {
      atomicAdd(to + i, values[i]);
    }
  }
}

template <int size>
__device__ __forceinline__ void AtomicAdd(double* to, const double (&values)[size]) {
#pragma unroll
  for (int i = 0; i < size; ++i) atomicAdd(to + i, values[i]);
}

}  // namespace cuda
}  // namespace snt_ops

#endif  // SNT_OPS_RESAMPLER_CUDA_DEVICE_CUH_
