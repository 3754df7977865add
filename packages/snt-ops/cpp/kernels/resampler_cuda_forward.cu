// The forward pass on a GPU: each thread makes one vector of channels of one point.
#include "resampler_cuda_launch.cuh"

namespace snt_ops {
namespace cuda {
namespace {

// Vectors that a thread makes, a block apart. Their loads are in flight together.
template <int size>
constexpr int kUnroll = size == 3 ? 1 : 2;

template <typename T, typename Warp, int size, typename Index>
__global__ void __launch_bounds__(kThreads)
    Forward(const Part<Accumulator<T>, Index> part, Divider vectors, unsigned items,
            const T* __restrict__ data, const Warp* __restrict__ warp, T* __restrict__ output) {
  using Acc = Accumulator<T>;
  using Vector = Pack<T, size>;
  constexpr int kTurns = kUnroll<size>;
  const unsigned first = blockIdx.x * (kThreads * kTurns) + threadIdx.x;
  Cell<Acc, Index> cells[kTurns];
  unsigned points[kTurns];
  Vector neighbours[kTurns][4];
  Acc weights[kTurns][4];

#pragma unroll
  for (int u = 0; u < kTurns; ++u) {
    const unsigned item = min(first + u * kThreads, items - 1);
    points[u] = vectors.Quotient(item);
    Acc x, y;
    LoadPoint(warp + 2 * static_cast<std::int64_t>(points[u]), part.aligned_warp, &x, &y);
    cells[u].Locate(x, y, part);
  }
#pragma unroll
  for (int u = 0; u < kTurns; ++u) {
    const unsigned item = min(first + u * kThreads, items - 1);
    const Cell<Acc, Index>& cell = cells[u];
    const Index channel = (item - points[u] * vectors.divisor) * size;
    const T* from = data + part.points_each.Quotient(points[u]) * part.image +
                    (cell.y * part.row + cell.x * part.channels + channel);
    const Acc left = 1 - cell.fx, top = 1 - cell.fy;
    weights[u][0] = cell.left && cell.top ? top * left : 0;
    weights[u][1] = cell.right && cell.top ? top * cell.fx : 0;
    weights[u][2] = cell.left && cell.bottom ? cell.fy * left : 0;
    weights[u][3] = cell.right && cell.bottom ? cell.fy * cell.fx : 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      // Not loaded, it is 0: a weight of 0 keeps a NaN out.
      const T* at = from + ((i % 2 != 0 ? part.channels : 0) + (i / 2 != 0 ? part.row : 0));
      neighbours[u][i].LoadIf(weights[u][i] != 0, at);
    }
  }
#pragma unroll
  for (int u = 0; u < kTurns; ++u) {
    const unsigned item = first + u * kThreads;
    Acc sums[size] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      Acc values[size];
      neighbours[u][i].Get(values);
#pragma unroll
      for (int c = 0; c < size; ++c) sums[c] += weights[u][i] * values[c];
    }
    Vector result;
    result.Set(sums);
    if (item < items) result.StoreOnce(output + static_cast<std::int64_t>(item) * size);
  }
}

template <typename T, typename Warp, int size, typename Index>
cudaError_t Launch(const ResamplerShape& shape, const T* data, const Warp* warp, T* output,
                   cudaStream_t stream) {
  const std::int64_t vectors = shape.channels / size;
  const auto launch = [&](const Part<Accumulator<T>, Index>& part, std::int64_t batch,
                          std::int64_t point) {
    const std::int64_t start = batch * shape.points + point;
    const unsigned items = static_cast<unsigned>(part.points * vectors);
    Forward<T, Warp, size, Index><<<Blocks(items, kThreads * kUnroll<size>), kThreads, 0, stream>>>(
        part, Divider(static_cast<unsigned>(vectors)), items, data + batch * part.image,
        warp + 2 * start, output + start * shape.channels);
    return cudaGetLastError();
  };
  return ForParts<Accumulator<T>, Index>(shape, vectors, shape.batch,
                                         IsAligned(warp, 2 * sizeof(Warp)), launch);
}

struct ForwardOfTypes {
  const ResamplerShape& shape;
  const void* data;
  const void* warp;
  void* output;
  cudaStream_t stream;

  template <typename T, typename Warp>
  cudaError_t operator()() const {
    const T* from = static_cast<const T*>(data);
    const Warp* at = static_cast<const Warp*>(warp);
    T* to = static_cast<T*>(output);
    if (!IsNarrow(shape)) return Launch<T, Warp, 1, std::int64_t>(shape, from, at, to, stream);
    if (shape.channels == 3) return Launch<T, Warp, 3, std::int32_t>(shape, from, at, to, stream);
    switch (VectorSize<T>(shape.channels, from, to)) {
      case 8:
        if constexpr (sizeof(T) == 2) {
          return Launch<T, Warp, 8, std::int32_t>(shape, from, at, to, stream);
        }
        break;
      case 4:
        if constexpr (sizeof(T) <= 4) {
          return Launch<T, Warp, 4, std::int32_t>(shape, from, at, to, stream);
        }
        break;
      case 2:
        return Launch<T, Warp, 2, std::int32_t>(shape, from, at, to, stream);
      default:
        break;
    }
    return Launch<T, Warp, 1, std::int32_t>(shape, from, at, to, stream);
  }
};

}  // namespace
}  // namespace cuda

int ResamplerForwardCuda(ElementType data_type, ElementType warp_type, const ResamplerShape& shape,
                         const void* data, const void* warp, void* output, void* stream) {
  const bool empty = shape.batch == 0 || shape.points == 0 || shape.channels == 0;
  if (empty) return cudaSuccess;
  return cuda::ForTypes(data_type, warp_type,
                        cuda::ForwardOfTypes{shape, data, warp, output,
                                             static_cast<cudaStream_t>(stream)});
}

const char* ResamplerCudaError(int code) {
  return cudaGetErrorString(static_cast<cudaError_t>(code));
}

int ResamplerCudaVersion() { return CUDART_VERSION; }

}  // namespace snt_ops
