// The gradients to one image and to the points, in one pass.
#ifndef SNT_OPS_KERNELS_BACKWARD_H_
#define SNT_OPS_KERNELS_BACKWARD_H_

#include <cstdint>

#include "kernels/level.h"
#include "kernels/points.h"

namespace snt_ops {
namespace SNT_OPS_LEVEL {
namespace {

// Each element is summed in the order of the points, and by the same operations whatever rows the
// call is for: that makes the result the same for any division of the work.
template <typename Data, typename Warp, typename Index, int kChannels>
class Spreader {
 public:
  using Number = Compute<Data>;
  static constexpr int kLanes = LanesFor<Number, kChannels>();

  Spreader(const ResamplerShape& shape, Rows rows, const Data* image, Number* grad_rows)
      : image_(image),
        grad_(grad_rows),
        rows_(rows),
        first_(rows.begin * shape.width * shape.channels),
        channels_(kChannels ? kChannels : shape.channels),
        row_(shape.width * shape.channels),
        large_(shape.height * row_ * static_cast<std::int64_t>(sizeof(Data)) > kLarge) {}

  void operator()(const Points<Number, Index>& points, int count, const Data* grad_output,
                  Warp* grad_warp) const {
    for (int i = 0; i < count; ++i) {
      if (i + kFetchAhead < count) Fetch(points, i + kFetchAhead);
      One(points, i, grad_output + i * channels_, grad_warp + 2 * i);
    }
  }

 private:
  static constexpr std::int64_t kLarge = 1 << 17;

  // The derivatives of a sample by x and by y, times its gradient.
  template <typename V>
  struct Slopes {
    V x = {};
    V y = {};

    SNT_OPS_INLINE void Add(V grad, V v0, V v1, V v2, V v3, Number dx, Number dy) {
      x += grad * ((Number(1) - dy) * (v1 - v0) + dy * (v3 - v2));
      y += grad * ((Number(1) - dx) * (v2 - v0) + dx * (v3 - v1));
    }
  };

  SNT_OPS_INLINE bool Owns(std::int64_t row) const { return row >= rows_.begin && row < rows_.end; }

  SNT_OPS_INLINE void Fetch(const Points<Number, Index>& points, int i) const {
    if (!large_) return;
    const std::int64_t pixel = points.pixel[i] * channels_;
    const auto image = reinterpret_cast<std::uintptr_t>(image_) + pixel * sizeof(Data);
    __builtin_prefetch(reinterpret_cast<const void*>(image));
    __builtin_prefetch(reinterpret_cast<const void*>(image + row_ * sizeof(Data)));
    const auto grad = reinterpret_cast<std::uintptr_t>(grad_) + (pixel - first_) * sizeof(Number);
    __builtin_prefetch(reinterpret_cast<const void*>(grad), 1);
    __builtin_prefetch(reinterpret_cast<const void*>(grad + row_ * sizeof(Number)), 1);
  }

  SNT_OPS_INLINE void One(const Points<Number, Index>& points, int i, const Data* grad_output,
                          Warp* grad_warp) const {
    const std::int64_t row = points.row[i];
    const bool upper = Owns(row);
    const bool lower = Owns(row + 1);
    if (__builtin_expect(points.mask[i] == kAllNeighbours && upper, 1)) {
      if (__builtin_expect(lower, 1)) {
        All<true>(points, i, grad_output, grad_warp);
      } else {
        All<false>(points, i, grad_output, grad_warp);
      }
      return;
    }
    if (upper || (row < 0 && rows_.begin == 0)) SomeSlopes(points, i, grad_output, grad_warp);
    for (int k = upper ? 0 : 2; k < (lower ? 4 : 2); ++k) {
      if (points.mask[i] >> k & 1) Give(points.weight[k][i], grad_output, Neighbour(points, i, k));
    }
  }

  // A point all of whose neighbours count, and whose upper row is ours.
  template <bool kLower>
  SNT_OPS_INLINE void All(const Points<Number, Index>& points, int i,
                          const Data* __restrict grad_output, Warp* __restrict grad_warp) const {
    const std::int64_t start = static_cast<std::int64_t>(points.pixel[i]) * channels_;
    const Data* __restrict image = image_ + start;
    Number* __restrict given = grad_ + (start - first_);
    const Number dx = points.dx[i], dy = points.dy[i];
    const Number w0 = points.weight[0][i], w1 = points.weight[1][i];
    const Number w2 = points.weight[2][i], w3 = points.weight[3][i];
    const auto spread = [&](auto lanes, std::int64_t c, auto* slopes) {
      constexpr int n = decltype(lanes)::value;
      const auto grad = Load<n>(grad_output + c);
      const Data* v = image + c;
      slopes->Add(grad, Load<n>(v), Load<n>(v + channels_), Load<n>(v + row_),
                  Load<n>(v + row_ + channels_), dx, dy);
      Number* to = given + c;
      Store<n>(Load<n>(to) + w0 * grad, to);
      Store<n>(Load<n>(to + channels_) + w1 * grad, to + channels_);
      if constexpr (kLower) {
        Store<n>(Load<n>(to + row_) + w2 * grad, to + row_);
        Store<n>(Load<n>(to + row_ + channels_) + w3 * grad, to + row_ + channels_);
      }
    };
    Slopes<Vector<Number, kLanes>> slopes;
    std::int64_t c = 0;
    for (; c + kLanes <= channels_; c += kLanes) spread(Lanes<kLanes>(), c, &slopes);
    Slopes<Number> rest;
    rest.x = Sum(slopes.x);
    rest.y = Sum(slopes.y);
    if constexpr (kChannels == 0) {
      for (; c < channels_; ++c) spread(Lanes<1>(), c, &rest);
    }
    FromNumber(rest.x, grad_warp);
    FromNumber(rest.y, grad_warp + 1);
  }

  SNT_OPS_INLINE std::int64_t Offset(const Points<Number, Index>& points, int i, int k) const {
    const std::int64_t pixel = static_cast<std::int64_t>(points.pixel[i]) + (k & 1);
    return pixel * channels_ + (k >> 1) * row_;
  }

  SNT_OPS_INLINE Number* Neighbour(const Points<Number, Index>& points, int i, int k) const {
    return grad_ + (Offset(points, i, k) - first_);
  }

  void Give(Number weight, const Data* grad_output, Number* to) const {
    std::int64_t c = 0;
    for (; c + kLanes <= channels_; c += kLanes) {
      Store<kLanes>(Load<kLanes>(to + c) + weight * Load<kLanes>(grad_output + c), to + c);
    }
    for (; c < channels_; ++c) to[c] += weight * ToNumber(grad_output[c]);
  }

  // The gradient to any point: only neighbours that count in a derivative are read for it.
  void SomeSlopes(const Points<Number, Index>& points, int i, const Data* grad_output,
                  Warp* grad_warp) const {
    const Number dx = points.dx[i], dy = points.dy[i];
    const Number left = Number(1) - dx, top = Number(1) - dy;
    const Number by_x[4] = {-top, top, -dy, dy};
    const Number by_y[4] = {-left, -dx, left, dx};
    Number slope_x = 0, slope_y = 0;
    for (int k = 0; k < 4; ++k) {
      if (!(points.mask[i] >> (4 + k) & 1)) continue;
      if (by_x[k] == 0 && by_y[k] == 0) continue;
      const Number dot = Dot(grad_output, image_ + Offset(points, i, k));
      if (by_x[k] != 0) slope_x += by_x[k] * dot;
      if (by_y[k] != 0) slope_y += by_y[k] * dot;
    }
    FromNumber(slope_x, grad_warp);
    FromNumber(slope_y, grad_warp + 1);
  }

  SNT_OPS_INLINE Number Dot(const Data* a, const Data* b) const {
    Vector<Number, kLanes> sums = {};
    std::int64_t c = 0;
    for (; c + kLanes <= channels_; c += kLanes) sums += Load<kLanes>(a + c) * Load<kLanes>(b + c);
    Number sum = Sum(sums);
    for (; c < channels_; ++c) sum += ToNumber(a[c]) * ToNumber(b[c]);
    return sum;
  }

  const Data* image_;
  Number* grad_;
  const Rows rows_;
  const std::int64_t first_;  // what grad_ leaves out before our rows
  const std::int64_t channels_;
  const std::int64_t row_;
  const bool large_;
};

template <typename Data, typename Warp, typename Index, int kChannels>
void BackwardImage(const ResamplerShape& shape, Rows rows, const Data* image, const Warp* warp,
                   const Data* grad_output, Accumulator<Data>* grad_rows, Warp* grad_warp) {
  const Locator<Compute<Data>, Index> locate(shape);
  const Spreader<Data, Warp, Index, kChannels> spread(shape, rows, image, grad_rows);
  Points<Compute<Data>, Index> points;
  for (std::int64_t i = 0; i < shape.points; i += kBlock) {
    const std::int64_t left = shape.points - i;
    const int size = static_cast<int>(left < kBlock ? left : kBlock);
    locate(warp + 2 * i, size, &points);
    spread(points, size, grad_output + i * shape.channels, grad_warp + 2 * i);
  }
}

}  // namespace

template <typename Data, typename Warp>
void Backward(const ResamplerShape& shape, Rows rows, const Data* image, const Warp* warp,
              const Data* grad_output, Accumulator<Data>* grad_rows, Warp* grad_warp) {
  WithIndexAndChannels<Data>(shape, [&](auto index, auto channels) {
    BackwardImage<Data, Warp, decltype(index), decltype(channels)::value>(
        shape, rows, image, warp, grad_output, grad_rows, grad_warp);
  });
}

}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_BACKWARD_H_
