// grad_data with the same bits each time: the points are sorted by cell, and each pixel sums up
// those of its four cells in their order. No atomics, each number is written once.
#include <cub/device/device_radix_sort.cuh>

#include "resampler_cuda_backward.cuh"

namespace snt_ops {
namespace cuda {
namespace {

using Key = std::uint32_t;
constexpr std::int64_t kMostKeys = std::int64_t{1} << 25;  // that are sorted at a time, if they may

// Cells of an image with all that reach into it, from (-1, -1) to (width - 1, height - 1).
std::int64_t CellsEach(const ResamplerShape& shape) {
  return (shape.height + 1) * (shape.width + 1);
}

bool Fits(const ResamplerShape& shape) {
  const std::int64_t most = std::int64_t{1} << 31;
  return shape.height < most && shape.width < most && CellsEach(shape) < 2 * most - 1 &&
         shape.points <= kMostItems;
}

std::int64_t ImagesAtOnce(const ResamplerShape& shape) {
  const std::int64_t keys = std::max(CellsEach(shape), shape.points);
  return std::max<std::int64_t>(1, std::min(shape.batch, kMostKeys / keys));
}

// The device memory of a sort.
struct Memory {
  Key* keys;
  Key* sorted_keys;
  std::uint32_t* points;
  std::uint32_t* sorted_points;
  uint2* ranges;  // of each cell, in sorted_points
  void* rest;
  std::size_t rest_bytes;
  std::int64_t bytes = 0;

  Memory(void* at, std::int64_t cells, std::int64_t points_count, std::size_t rest_size) {
    char* const base = static_cast<char*>(at);
    const auto take = [&](std::int64_t size) {
      char* const part = base + bytes;
      bytes += (size + 255) / 256 * 256;
      return static_cast<void*>(part);
    };
    const std::int64_t column = points_count * static_cast<std::int64_t>(sizeof(Key));
    keys = static_cast<Key*>(take(column));
    sorted_keys = static_cast<Key*>(take(column));
    points = static_cast<std::uint32_t*>(take(column));
    sorted_points = static_cast<std::uint32_t*>(take(column));
    ranges = static_cast<uint2*>(take(cells * static_cast<std::int64_t>(sizeof(uint2))));
    rest_bytes = rest_size;
    rest = take(static_cast<std::int64_t>(rest_size));
  }
};

cudaError_t SortBytes(std::int64_t points, std::size_t* bytes) {
  const Key* keys = nullptr;
  Key* sorted = nullptr;
  *bytes = 0;
  return cub::DeviceRadixSort::SortPairs(nullptr, *bytes, keys, sorted, keys, sorted,
                                         static_cast<int>(points));
}

// The cells of the points. Points outside come behind all cells.
template <typename Warp, typename Acc>
__global__ void __launch_bounds__(kThreads)
    MakeKeys(const Part<Acc, std::int64_t> part, Key cells, Key cells_each,
             const Warp* __restrict__ warp, Key* __restrict__ keys,
             std::uint32_t* __restrict__ points) {
  const unsigned point = blockIdx.x * kThreads + threadIdx.x;
  if (point >= part.points) return;
  Acc x, y;
  LoadPoint(warp + 2 * static_cast<std::int64_t>(point), part.aligned_warp, &x, &y);
  Cell<Acc, std::int64_t> cell;
  cell.Locate(x, y, part);
  // An upper limit may be rounded up.
  const bool inside = cell.inside && cell.x < part.width && cell.y < part.height;
  const Key in_image = static_cast<Key>((cell.y + 1) * (part.width + 1) + cell.x + 1);
  keys[point] = inside ? part.points_each.Quotient(point) * cells_each + in_image : cells;
  points[point] = point;
}

__global__ void __launch_bounds__(kThreads)
    FindRanges(unsigned points, Key cells, const Key* __restrict__ keys,
               uint2* __restrict__ ranges) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= points) return;
  const Key key = keys[i];
  if (key >= cells) return;
  if (i == 0 || keys[i - 1] != key) ranges[key].x = i;
  if (i == points - 1 || keys[i + 1] != key) ranges[key].y = i + 1;
}

template <typename T, typename Warp, int size>
__global__ void __launch_bounds__(kThreads)
    Gather(const Part<Accumulator<T>, std::int64_t> part, int lanes_shift, std::int64_t pixels,
           const Warp* __restrict__ warp, const T* __restrict__ grad_output,
           const uint2* __restrict__ ranges, const std::uint32_t* __restrict__ points,
           T* __restrict__ grad_data) {
  using Acc = Accumulator<T>;
  const std::int64_t stride = (static_cast<std::int64_t>(gridDim.x) * kThreads) >> lanes_shift;
  const std::int64_t item = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x;
  const int lane = static_cast<int>(item & ((1 << lanes_shift) - 1));
  for (std::int64_t pixel = item >> lanes_shift; pixel < pixels; pixel += stride) {
    const std::int64_t row = pixel / part.width;  // of all images
    const std::int64_t image = row / part.height;
    const std::int64_t x = pixel - row * part.width;
    // The cell of which the pixel is the lower right one; y + 1 counts from 0 there.
    const uint2* const cell = ranges + (row + image) * (part.width + 1) + x;
    for (std::int64_t channel = lane * size; channel < part.channels;
         channel += size << lanes_shift) {
      Acc sums[size] = {};
#pragma unroll 1
      for (int i = 0; i < 4; ++i) {
        const uint2 range = cell[(i / 2) * (part.width + 1) + i % 2];
        for (unsigned at = range.x; at < range.y; ++at) {
          const std::int64_t point = points[at];
          Acc at_x, at_y;
          LoadPoint(warp + 2 * point, part.aligned_warp, &at_x, &at_y);
          const Acc fx = at_x - floor(at_x), fy = at_y - floor(at_y);
          const Acc weight = (i / 2 != 0 ? 1 - fy : fy) * (i % 2 != 0 ? 1 - fx : fx);
          Pack<T, size> packed;
          packed.LoadIf(weight != 0, grad_output + point * part.channels + channel);
          Acc gradients[size];
          packed.Get(gradients);
#pragma unroll
          for (int c = 0; c < size; ++c) sums[c] += weight * gradients[c];
        }
      }
      Pack<T, size> result;
      result.Set(sums);
      result.StoreOnce(grad_data + pixel * part.channels + channel);
    }
  }
}

struct SortedOfTypes {
  const ResamplerShape& shape;
  const void* warp;
  const void* grad_output;
  void* grad_data;
  void* workspace;
  std::int64_t workspace_bytes;
  cudaStream_t stream;

  template <typename T, typename Warp>
  cudaError_t operator()() const {
    // Vectors of 16 bytes or single numbers: this way is not about speed.
    const T* const gradient = static_cast<const T*>(grad_output);
    const T* const result = static_cast<const T*>(grad_data);
    constexpr int most = static_cast<int>(16 / sizeof(T));
    return VectorSize<T>(shape.channels, gradient, result) == most ? Launch<T, Warp, most>()
                                                                  : Launch<T, Warp, 1>();
  }

  template <typename T, typename Warp, int size>
  cudaError_t Launch() const {
    const std::int64_t cells_each = CellsEach(shape);
    const int lanes_shift = LanesShift(shape.channels / size);
    const Warp* const all_warp = static_cast<const Warp*>(warp);
    const auto launch = [&](const Part<Accumulator<T>, std::int64_t>& part, std::int64_t batch,
                            std::int64_t) -> cudaError_t {
      const std::int64_t images = part.points / shape.points;
      const Key cells = static_cast<Key>(images * cells_each);
      const std::int64_t start = batch * shape.points;
      std::size_t sort_bytes;
      SNT_RETURN_IF_ERROR(SortBytes(part.points, &sort_bytes));
      Memory memory(workspace, cells, part.points, sort_bytes);
      if (memory.bytes > workspace_bytes) return cudaErrorInvalidValue;
      const Warp* const at = all_warp + 2 * start;
      MakeKeys<Warp><<<Blocks(part.points), kThreads, 0, stream>>>(
          part, cells, static_cast<Key>(cells_each), at, memory.keys, memory.points);
      SNT_RETURN_IF_ERROR(cudaGetLastError());
      int bits = 1;  // of the largest key, which is `cells`
      while (bits < 32 && (std::uint64_t{cells} >> bits) != 0) ++bits;
      SNT_RETURN_IF_ERROR(cub::DeviceRadixSort::SortPairs(
          memory.rest, memory.rest_bytes, memory.keys, memory.sorted_keys, memory.points,
          memory.sorted_points, static_cast<int>(part.points), 0, bits, stream));
      SNT_RETURN_IF_ERROR(cudaMemsetAsync(memory.ranges, 0, cells * sizeof(uint2), stream));
      FindRanges<<<Blocks(part.points), kThreads, 0, stream>>>(part.points, cells,
                                                               memory.sorted_keys, memory.ranges);
      SNT_RETURN_IF_ERROR(cudaGetLastError());
      const std::int64_t pixels = images * shape.height * shape.width;
      if (pixels == 0) return cudaSuccess;
      const std::int64_t items = std::min(pixels << lanes_shift, std::int64_t{kThreads} << 20);
      Gather<T, Warp, size><<<Blocks(items), kThreads, 0, stream>>>(
          part, lanes_shift, pixels, at,
          static_cast<const T*>(grad_output) + start * shape.channels, memory.ranges,
          memory.sorted_points, static_cast<T*>(grad_data) + batch * part.image);
      return cudaGetLastError();
    };
    // Whole images: Fits() is true, and parts of that many points are allowed.
    const bool aligned = IsAligned(all_warp, 2 * sizeof(Warp));
    return ForParts<Accumulator<T>, std::int64_t>(shape, 1, ImagesAtOnce(shape), aligned, launch);
  }
};

}  // namespace

cudaError_t SortedWorkspace(const ResamplerShape& shape, std::int64_t* bytes) {
  if (!Fits(shape)) return cudaErrorNotSupported;
  const std::int64_t images = ImagesAtOnce(shape);
  std::size_t sort_bytes;
  SNT_RETURN_IF_ERROR(SortBytes(images * shape.points, &sort_bytes));
  *bytes = Memory(nullptr, images * CellsEach(shape), images * shape.points, sort_bytes).bytes;
  return cudaSuccess;
}

cudaError_t SortedGradData(ElementType data_type, ElementType warp_type,
                           const ResamplerShape& shape, const void* warp, const void* grad_output,
                           void* grad_data, void* workspace, std::int64_t workspace_bytes,
                           cudaStream_t stream) {
  return ForTypes(data_type, warp_type,
                  SortedOfTypes{shape, warp, grad_output, grad_data, workspace, workspace_bytes,
                                stream});
}

}  // namespace cuda
}  // namespace snt_ops
