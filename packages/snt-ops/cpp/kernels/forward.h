// Samples one image.
#ifndef SNT_OPS_KERNELS_FORWARD_H_
#define SNT_OPS_KERNELS_FORWARD_H_

#include <cstdint>

#include "kernels/one_channel.h"
#include "kernels/points.h"

namespace snt_ops {
namespace SNT_OPS_LEVEL {
namespace {

template <typename Data, typename Index, int kChannels>
class Sampler {
 public:
  using Number = Compute<Data>;
  static constexpr int kLanes = LanesFor<Number, kChannels>();

  Sampler(const ResamplerShape& shape, const Data* image)
      : image_(image),
        channels_(kChannels ? kChannels : shape.channels),
        row_(shape.width * shape.channels),
        large_(shape.height * row_ * static_cast<std::int64_t>(sizeof(Data)) > kLarge) {}

  void operator()(const Points<Number, Index>& points, int count, bool last, Data* output) const {
    for (int i = 0; i < count; ++i) {
      Fetch(points, i + kFetchAhead, count);
      One(points, i, last && i + 1 == count, output + i * channels_);
    }
  }

 private:
  static constexpr std::int64_t kLarge = 1 << 18;  // what a second-level cache surely holds

  SNT_OPS_INLINE const Data* UpperLeft(const Points<Number, Index>& points, int i) const {
    return image_ + static_cast<std::int64_t>(points.pixel[i]) * channels_;
  }

  SNT_OPS_INLINE void Fetch(const Points<Number, Index>& points, int i, int count) const {
    if (!large_ || i >= count) return;
    // No address of a prefetch can fault, so those outside of the image need no test; they are
    // computed as integers, since a pointer must stay in its array.
    const auto address = reinterpret_cast<std::uintptr_t>(image_) +
                         static_cast<std::uintptr_t>(points.pixel[i] * channels_ *
                                                     static_cast<std::int64_t>(sizeof(Data)));
    __builtin_prefetch(reinterpret_cast<const void*>(address));
    __builtin_prefetch(reinterpret_cast<const void*>(address + row_ * sizeof(Data)));
  }

  SNT_OPS_INLINE void One(const Points<Number, Index>& points, int i, bool last,
                          Data* output) const {
    if (__builtin_expect(points.mask[i] != kAllNeighbours, 0)) {
      Some(points, i, output);
      return;
    }
    const Data* upper = UpperLeft(points, i);
    const Data* lower = upper + row_;
    const Number w0 = points.weight[0][i], w1 = points.weight[1][i];
    const Number w2 = points.weight[2][i], w3 = points.weight[3][i];
    if constexpr (kChannels == 3 && std::is_same_v<Data, float>) {
      // Four numbers at once, never beyond the two pixels: the right one ends with them.
      const auto sum = (w0 * Load<4>(upper) + w1 * Last3(upper + 2)) +
                       (w2 * Load<4>(lower) + w3 * Last3(lower + 2));
      if (last) {
        Store<2>(__builtin_shufflevector(sum, sum, 0, 1), output);
        output[2] = sum[2];
      } else {
        Store<4>(sum, output);  // the next point overwrites the fourth
      }
      return;
    }
    const auto sample = [&](auto lanes, std::int64_t c) {
      constexpr int n = decltype(lanes)::value;
      Store<n>((w0 * Load<n>(upper + c) + w1 * Load<n>(upper + channels_ + c)) +
                   (w2 * Load<n>(lower + c) + w3 * Load<n>(lower + channels_ + c)),
               output + c);
    };
    if constexpr (kChannels == 0) {
      std::int64_t c = 0;
      for (; c + kLanes <= channels_; c += kLanes) sample(Lanes<kLanes>(), c);
      if (c == channels_) return;
      if (channels_ >= kLanes) {
        sample(Lanes<kLanes>(), channels_ - kLanes);  // some of them once more
      } else {
        for (; c < channels_; ++c) sample(Lanes<1>(), c);
      }
    } else {
      for (int c = 0; c < kChannels; c += kLanes) sample(Lanes<kLanes>(), c);
    }
  }

  // Any point: only the neighbours that count are read.
  void Some(const Points<Number, Index>& points, int i, Data* output) const {
    Number weight[4] = {};
    const Data* neighbour[4] = {};
    int count = 0;
    for (int k = 0; k < 4; ++k) {
      if (points.mask[i] >> k & 1) {
        const std::int64_t pixel = static_cast<std::int64_t>(points.pixel[i]) + (k & 1);
        neighbour[count] = image_ + pixel * channels_ + (k >> 1) * row_;
        weight[count++] = points.weight[k][i];
      }
    }
    const auto sample = [&](auto lanes, std::int64_t c) {
      constexpr int n = decltype(lanes)::value;
      Vector<Number, n> sum = {};
      for (int k = 0; k < count; ++k) sum += weight[k] * Load<n>(neighbour[k] + c);
      Store<n>(sum, output + c);
    };
    std::int64_t c = 0;
    for (; c + kLanes <= channels_; c += kLanes) sample(Lanes<kLanes>(), c);
    for (; c < channels_; ++c) sample(Lanes<1>(), c);
  }

  const Data* image_;
  const std::int64_t channels_;
  const std::int64_t row_;
  const bool large_;
};

template <typename Data, typename Warp, typename Index, int kChannels>
void ForwardImage(const ResamplerShape& shape, const Data* image, const Warp* warp, Data* output,
                  std::int64_t count) {
  const Locator<Compute<Data>, Index> locate(shape);
  const Sampler<Data, Index, kChannels> sample(shape, image);
  Points<Compute<Data>, Index> points;
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const int size = static_cast<int>(count - i < kBlock ? count - i : kBlock);
    locate(warp + 2 * i, size, &points);
    sample(points, size, i + size == count, output + i * shape.channels);
  }
}

}  // namespace

template <typename Data, typename Warp>
void Forward(const ResamplerShape& shape, const Data* image, const Warp* warp, Data* output,
             std::int64_t count) {
  if constexpr (std::is_same_v<Data, float>) {
    if (OneChannelSampler::Fits(shape)) {
      return OneChannelSampler(shape, image)(warp, count, output);
    }
  }
  WithIndexAndChannels<Data>(shape, [&](auto index, auto channels) {
    ForwardImage<Data, Warp, decltype(index), decltype(channels)::value>(shape, image, warp,
                                                                         output, count);
  });
}

}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_FORWARD_H_
