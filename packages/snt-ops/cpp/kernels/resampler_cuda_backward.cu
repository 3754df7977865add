// The backward pass on a GPU: grad_warp by sums over the lanes of a point, grad_data by atomics.
#include "resampler_cuda_backward.cuh"

namespace snt_ops {
namespace cuda {
namespace {

// The float sums for a half type are made in parts of this size, which stay in the second-level
// cache. For other types, which need no sums beside grad_data, one launch for all is faster.
constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;

// Blocks that a multiprocessor should hold at a time. Narrow vectors leave it waiting for memory;
// wide ones need the registers.
template <int bytes>
#if __CUDA_ARCH__ >= 800
constexpr int kBlocks = bytes < 8 ? 6 : 1;
#else
constexpr int kBlocks = 1;  // older ones hold fewer threads
#endif

// `scatter` false leaves grad_data alone. `Sum` is float for half types: adding up in half types
// would stop at 2048 additions of 1.
template <bool scatter, typename T, typename Warp, int size, typename Index>
__global__ void __launch_bounds__(kThreads, kBlocks<size * sizeof(T)>)
    Backward(const Part<Accumulator<T>, Index> part, int lanes_shift, const T* __restrict__ data,
             const Warp* __restrict__ warp, const T* __restrict__ grad_output,
             Accumulator<T>* __restrict__ sums, Warp* __restrict__ grad_warp) {
  using Acc = Accumulator<T>;
  using Vector = Pack<T, size>;
  const unsigned item = blockIdx.x * kThreads + threadIdx.x;
  const unsigned lanes = 1u << lanes_shift;
  const unsigned lane = item & (lanes - 1);
  const bool valid = (item >> lanes_shift) < part.points;
  // Idle threads stay for the shuffles.
  const unsigned point = valid ? item >> lanes_shift : part.points - 1;
  const unsigned image = part.points_each.Quotient(point);
  Cell<Acc, Index> cell;
  {
    Acc x, y;
    LoadPoint(warp + 2 * static_cast<std::int64_t>(point), part.aligned_warp, &x, &y);
    cell.Locate(x, y, part);
    if (!valid) cell.inside = cell.left = cell.right = false;
  }
  const bool in[4] = {cell.left && cell.top, cell.right && cell.top, cell.left && cell.bottom,
                      cell.right && cell.bottom};
  const Acc left = 1 - cell.fx, top = 1 - cell.fy;
  const Acc weights[4] = {in[0] ? top * left : 0, in[1] ? top * cell.fx : 0,
                          in[2] ? cell.fy * left : 0, in[3] ? cell.fy * cell.fx : 0};

  // Where the point of the lanes before lies one cell to the left, as in rows of points, its right
  // pixels are the left ones of this point: it hands over what it has for them.
  bool takes = false, gives = false;
  if constexpr (scatter) {
    const unsigned before_image = __shfl_up_sync(kAllLanes, image, lanes);
    const Index before_x = __shfl_up_sync(kAllLanes, cell.x, lanes);
    const Index before_y = __shfl_up_sync(kAllLanes, cell.y, lanes);
    const bool before_inside = __shfl_up_sync(kAllLanes, cell.inside, lanes);
    takes = threadIdx.x % kWarp >= lanes && cell.inside && before_inside &&
            before_image == image && before_y == cell.y && before_x + 1 == cell.x;
    gives = __shfl_down_sync(kAllLanes, takes, lanes) && threadIdx.x % kWarp + lanes < kWarp;
  }
  // What is added to: own additions of weight 0 are left out.
  const bool adds[4] = {in[0] && (takes || weights[0] != 0), in[1] && !gives && weights[1] != 0,
                        in[2] && (takes || weights[2] != 0), in[3] && !gives && weights[3] != 0};

  // Of the upper left pixel, which may lie outside.
  const Index start = cell.y * part.row + cell.x * part.channels;
  const T* const image_data = data + image * part.image;
  Acc* const image_sums = scatter ? sums + image * part.image : nullptr;
  const T* const gradient = grad_output + static_cast<std::int64_t>(point) * part.channels;
  Acc sum_x = 0, sum_y = 0;
  // The number of turns is the same for all lanes.
  for (Index turn = 0; turn < part.channels; turn += static_cast<Index>(lanes) * size) {
    const Index channel = turn + static_cast<Index>(lane) * size;
    const bool busy = channel < part.channels;
    Vector packed, neighbours[4];
    packed.LoadIf(cell.inside && busy, gradient + channel);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Index offset = (i % 2 != 0 ? part.channels : 0) + (i / 2 != 0 ? part.row : 0);
      neighbours[i].LoadIf(in[i] && busy, image_data + (start + channel + offset));
    }
    Acc gradients[size];
    packed.Get(gradients);
    {
      Acc values[4][size];
#pragma unroll
      for (int i = 0; i < 4; ++i) neighbours[i].Get(values[i]);
#pragma unroll
      for (int c = 0; c < size; ++c) {
        // A row, or a column, of weight 0 may hold a NaN.
        const Acc lower = cell.fy != 0 ? cell.fy * (values[3][c] - values[2][c]) : 0;
        const Acc righter = cell.fx != 0 ? cell.fx * (values[3][c] - values[1][c]) : 0;
        sum_x += gradients[c] * (top * (values[1][c] - values[0][c]) + lower);
        sum_y += gradients[c] * (left * (values[2][c] - values[0][c]) + righter);
      }
    }
    if constexpr (scatter) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {  // upper row, lower row
        Acc lefts[size], rights[size];
#pragma unroll
        for (int c = 0; c < size; ++c) {
          lefts[c] = weights[2 * side] != 0 ? weights[2 * side] * gradients[c] : 0;
          rights[c] = weights[2 * side + 1] != 0 ? weights[2 * side + 1] * gradients[c] : 0;
          const Acc handed = __shfl_up_sync(kAllLanes, rights[c], lanes);
          if (takes) lefts[c] += handed;
        }
        Acc* const to = image_sums + (start + channel + (side != 0 ? part.row : 0));
        if (adds[2 * side] && busy) AtomicAdd(to, lefts);
        if (adds[2 * side + 1] && busy) AtomicAdd(to + part.channels, rights);
      }
    }
  }
  for (unsigned distance = lanes / 2; distance > 0; distance /= 2) {
    sum_x += __shfl_xor_sync(kAllLanes, sum_x, distance);
    sum_y += __shfl_xor_sync(kAllLanes, sum_y, distance);
  }
  if (lane == 0 && valid) {
    Warp* const to = grad_warp + 2 * static_cast<std::int64_t>(point);
    // Where nothing was loaded the sums are 0, or the NaN of 0 times a fraction that is not there.
    const Acc result[2] = {cell.inside ? sum_x : 0, cell.inside ? sum_y : 0};
    if (part.aligned_warp) {
      Pack<Warp, 2> pair;
      const Accumulator<Warp> narrow[2] = {static_cast<Accumulator<Warp>>(result[0]),
                                           static_cast<Accumulator<Warp>>(result[1])};
      pair.Set(narrow);
      pair.StoreOnce(to);
    } else {
      to[0] = Narrow<Warp>(result[0]);
      to[1] = Narrow<Warp>(result[1]);
    }
  }
}

// Rounds float sums to a half type.
template <typename T, int size>
__global__ void __launch_bounds__(kThreads)
    Round(std::int64_t vectors, const float* __restrict__ sums, T* __restrict__ rounded) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x;
       i < vectors; i += stride) {
    float values[size];
    if constexpr (size == 8) {
      float halves[2][4];
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        Pack<float, 4> four;
        four.Load(sums + i * 8 + part * 4);
        four.Get(halves[part]);
#pragma unroll
        for (int c = 0; c < 4; ++c) values[part * 4 + c] = halves[part][c];
      }
    } else {
#pragma unroll
      for (int c = 0; c < size; ++c) values[c] = sums[i * size + c];
    }
    Pack<T, size> result;
    result.Set(values);
    result.StoreOnce(rounded + i * size);
  }
}

template <typename T>
cudaError_t LaunchRound(std::int64_t count, const float* sums, T* rounded, cudaStream_t stream) {
  // Few enough blocks for any grid.
  const auto blocks = [](std::int64_t vectors) {
    return Blocks(std::min(vectors, std::int64_t{kThreads} << 20));
  };
  if (count % 8 == 0 && IsAligned(rounded, 16)) {
    Round<T, 8><<<blocks(count / 8), kThreads, 0, stream>>>(count / 8, sums, rounded);
  } else {
    Round<T, 1><<<blocks(count), kThreads, 0, stream>>>(count, sums, rounded);
  }
  return cudaGetLastError();
}

template <typename T>
constexpr bool kHasSums = !std::is_same_v<T, Accumulator<T>>;

// How many images are worked on at a time, and so held in float sums.
template <typename T>
std::int64_t ImagesAtOnce(const ResamplerShape& shape) {
  if (!kHasSums<T>) return shape.batch;
  const std::int64_t bytes = shape.height * shape.width * shape.channels *
                             static_cast<std::int64_t>(sizeof(Accumulator<T>));
  return std::max<std::int64_t>(1, std::min(shape.batch, kChunkBytes / std::max<std::int64_t>(
                                                             1, bytes)));
}

struct Arguments {
  const ResamplerShape& shape;
  const void* data;
  const void* warp;
  const void* grad_output;
  void* grad_data;
  void* grad_warp;
  void* workspace;
  cudaStream_t stream;
};

// The images [batch, batch + shape.batch) of the problem.
template <bool scatter, typename T, typename Warp, int size, typename Index>
cudaError_t Launch(const Arguments& all, const ResamplerShape& shape, std::int64_t batch,
                   Accumulator<T>* sums) {
  const int lanes_shift = LanesShift(shape.channels / size);
  const T* const data = static_cast<const T*>(all.data);
  const Warp* const warp = static_cast<const Warp*>(all.warp);
  const T* const grad_output = static_cast<const T*>(all.grad_output);
  Warp* const grad_warp = static_cast<Warp*>(all.grad_warp);
  const bool aligned = IsAligned(warp, 2 * sizeof(Warp)) && IsAligned(grad_warp, 2 * sizeof(Warp));
  const auto launch = [&](const Part<Accumulator<T>, Index>& part, std::int64_t images_before,
                          std::int64_t point) {
    const std::int64_t image = batch + images_before;
    const std::int64_t start = image * shape.points + point;
    const std::int64_t items = static_cast<std::int64_t>(part.points) << lanes_shift;
    Backward<scatter, T, Warp, size, Index><<<Blocks(items), kThreads, 0, all.stream>>>(
        part, lanes_shift, data + image * part.image, warp + 2 * start,
        grad_output + start * shape.channels,
        scatter ? sums + images_before * part.image : nullptr, grad_warp + 2 * start);
    return cudaGetLastError();
  };
  return ForParts<Accumulator<T>, Index>(shape, std::int64_t{1} << lanes_shift, shape.batch,
                                         aligned, launch);
}

template <bool scatter, typename T, typename Warp>
cudaError_t LaunchOfSize(const Arguments& all, const ResamplerShape& shape, std::int64_t batch,
                         Accumulator<T>* sums) {
  if (!IsNarrow(shape)) {
    return Launch<scatter, T, Warp, 1, std::int64_t>(all, shape, batch, sums);
  }
  const T* const data = static_cast<const T*>(all.data);
  const T* const gradient = static_cast<const T*>(all.grad_output);
  int most = VectorSize<T>(shape.channels, data, gradient);
  // The sums' vectors are at most 16 bytes.
  const int most_bytes = std::min<int>(16, most * static_cast<int>(sizeof(*sums)));
  if (scatter && !IsAligned(sums, most_bytes)) most = 1;
  switch (most) {
    case 8:
      if constexpr (sizeof(T) == 2) {
        return Launch<scatter, T, Warp, 8, std::int32_t>(all, shape, batch, sums);
      }
      break;
    case 4:
      if constexpr (sizeof(T) <= 4) {
        return Launch<scatter, T, Warp, 4, std::int32_t>(all, shape, batch, sums);
      }
      break;
    case 2:
      return Launch<scatter, T, Warp, 2, std::int32_t>(all, shape, batch, sums);
    default:
      break;
  }
  return Launch<scatter, T, Warp, 1, std::int32_t>(all, shape, batch, sums);
}

struct GradWarpOfTypes {
  const Arguments& all;

  template <typename T, typename Warp>
  cudaError_t operator()() const {
    return LaunchOfSize<false, T, Warp>(all, all.shape, 0, nullptr);
  }
};

struct BothOfTypes {
  const Arguments& all;

  template <typename T, typename Warp>
  cudaError_t operator()() const {
    using Acc = Accumulator<T>;
    const std::int64_t image = all.shape.height * all.shape.width * all.shape.channels;
    const std::int64_t most_images = ImagesAtOnce<T>(all.shape);
    for (std::int64_t batch = 0; batch < all.shape.batch; batch += most_images) {
      ResamplerShape some = all.shape;
      some.batch = std::min(most_images, all.shape.batch - batch);
      T* const grad_data = static_cast<T*>(all.grad_data) + batch * image;
      Acc* sums;
      if constexpr (kHasSums<T>) {
        sums = static_cast<Acc*>(all.workspace);
      } else {
        sums = grad_data;
      }
      const std::int64_t count = some.batch * image;
      if (count > 0) {
        SNT_RETURN_IF_ERROR(cudaMemsetAsync(sums, 0, count * sizeof(Acc), all.stream));
      }
      SNT_RETURN_IF_ERROR((LaunchOfSize<true, T, Warp>(all, some, batch, sums)));
      if constexpr (kHasSums<T>) {
        if (count > 0) SNT_RETURN_IF_ERROR(LaunchRound(count, sums, grad_data, all.stream));
      }
    }
    return cudaSuccess;
  }
};

struct SumsOfTypes {
  const ResamplerShape& shape;
  std::int64_t* bytes;

  template <typename T, typename Warp>
  cudaError_t operator()() const {
    *bytes = 0;
    if constexpr (kHasSums<T>) {
      *bytes = ImagesAtOnce<T>(shape) * shape.height * shape.width * shape.channels *
               static_cast<std::int64_t>(sizeof(Accumulator<T>));
    }
    return cudaSuccess;
  }
};

std::int64_t BytesOf(ElementType type) {
  return type == ElementType::kFloat64 ? 8 : type == ElementType::kFloat32 ? 4 : 2;
}

// Nothing reaches a pixel or a point: the gradients are 0, if there are any.
bool IsEmpty(const ResamplerShape& shape) {
  return shape.batch == 0 || shape.points == 0 || shape.channels == 0;
}

}  // namespace
}  // namespace cuda

int ResamplerBackwardCudaWorkspace(ElementType data_type, ElementType warp_type,
                                   const ResamplerShape& shape, bool deterministic,
                                   std::int64_t* bytes) {
  *bytes = 0;
  if (cuda::IsEmpty(shape)) return cudaSuccess;
  if (deterministic) return cuda::SortedWorkspace(shape, bytes);
  return cuda::ForTypes(data_type, warp_type, cuda::SumsOfTypes{shape, bytes});
}

int ResamplerBackwardCuda(ElementType data_type, ElementType warp_type, const ResamplerShape& shape,
                          const void* data, const void* warp, const void* grad_output,
                          void* grad_data, void* grad_warp, void* workspace,
                          std::int64_t workspace_bytes, bool deterministic, void* stream) {
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  if (cuda::IsEmpty(shape)) {
    const std::int64_t pixels = shape.batch * shape.height * shape.width * shape.channels;
    const std::int64_t points = shape.batch * shape.points * 2;
    if (pixels > 0) {
      SNT_RETURN_IF_ERROR(cudaMemsetAsync(grad_data, 0, pixels * cuda::BytesOf(data_type), on));
    }
    if (points > 0) {
      SNT_RETURN_IF_ERROR(cudaMemsetAsync(grad_warp, 0, points * cuda::BytesOf(warp_type), on));
    }
    return cudaSuccess;
  }
  std::int64_t needed;
  SNT_RETURN_IF_ERROR(static_cast<cudaError_t>(
      ResamplerBackwardCudaWorkspace(data_type, warp_type, shape, deterministic, &needed)));
  if (workspace_bytes < needed) return cudaErrorInvalidValue;
  const cuda::Arguments all = {shape,     data,      warp, grad_output,
                               grad_data, grad_warp, workspace, on};
  if (!deterministic) return cuda::ForTypes(data_type, warp_type, cuda::BothOfTypes{all});
  SNT_RETURN_IF_ERROR(cuda::ForTypes(data_type, warp_type, cuda::GradWarpOfTypes{all}));
  return cuda::SortedGradData(data_type, warp_type, shape, warp, grad_output, grad_data, workspace,
                              workspace_bytes, on);
}

}  // namespace snt_ops
