// Compares the kernels with the definition of the resampler in double precision, over random
// sizes and over points that are on, near and far outside of every border, or no numbers; and
// their bits over numbers of threads. `kernel_test checksum` prints a sum over all results.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "problem.h"
#include "snt_ops/shared_pool.h"

namespace snt_ops {
namespace {

std::uint64_t checksum = 1469598103934665603u;
int failures = 0;

double Point(std::mt19937& random, std::int64_t size) {
  const double kSpecial[] = {NAN,   INFINITY, -INFINITY, 1e10,  -1e10,  1e300, -1e300, -1.0,
                             -0.5,  -1e-30,   -0.0,      0.0,   1e-40,  double(size),
                             size - 1.0, size - 0.5, 9.3e18, -9.3e18, size - 1e-9, -1 + 1e-9};
  const int kind = static_cast<int>(random() % 8);
  if (kind == 0) return kSpecial[random() % (sizeof kSpecial / sizeof *kSpecial)];
  if (kind == 1) return static_cast<double>(random() % (size + 2)) - 1;
  return std::uniform_real_distribution<double>(-1.5, size + 0.5)(random);
}

void Check(bool right, const char* what, const ResamplerShape& shape, std::int64_t i, double got,
           double wanted) {
  if (right || ++failures > 10) return;
  std::printf("%s[%lld] is %g, should be %g; batch %lld, height %lld, width %lld, channels %lld, "
              "points %lld\n", what, static_cast<long long>(i), got, wanted,
              static_cast<long long>(shape.batch), static_cast<long long>(shape.height),
              static_cast<long long>(shape.width), static_cast<long long>(shape.channels),
              static_cast<long long>(shape.points));
}

template <typename Data, typename Warp>
void Compare(Problem<Data, Warp>& problem) {
  const ResamplerShape& s = problem.shape;
  const double tolerance = sizeof(Data) == 8 ? 1e-12 : sizeof(Data) == 4 ? 2e-5 : 2e-2;
  std::vector<double> grad_data(problem.grad_data.size);
  std::vector<double> scale(problem.grad_data.size, 1.0);
  for (std::int64_t p = 0; p < s.batch * s.points; ++p) {
    const std::int64_t image = p / s.points;
    const double x = Get(problem.warp[2 * p]), y = Get(problem.warp[2 * p + 1]);
    const bool inside = x > -1 && y > -1 && x < s.width && y < s.height;
    std::vector<double> sample(s.channels);
    double slope_x = 0, slope_y = 0, size = 1;
    for (int k = 0; k < 4 && inside; ++k) {
      const double column = std::floor(x) + (k & 1), row = std::floor(y) + (k >> 1);
      if (column < 0 || row < 0 || column >= s.width || row >= s.height) continue;
      const double wx = 1 - std::fabs(x - column), wy = 1 - std::fabs(y - row);
      const std::int64_t start =
          ((image * s.height + static_cast<std::int64_t>(row)) * s.width +
           static_cast<std::int64_t>(column)) * s.channels;
      for (std::int64_t c = 0; c < s.channels; ++c) {
        const double value = Get(problem.data[start + c]);
        const double grad = Get(problem.grad_output[p * s.channels + c]);
        sample[c] += wx * wy * value;
        slope_x += (k & 1 ? wy : -wy) * grad * value;
        slope_y += (k >> 1 ? wx : -wx) * grad * value;
        grad_data[start + c] += wx * wy * grad;
        scale[start + c] += std::fabs(grad);
        size += std::fabs(grad * value);
      }
    }
    for (std::int64_t c = 0; c < s.channels; ++c) {
      const double got = Get(problem.output[p * s.channels + c]);
      Check(std::fabs(got - sample[c]) <= 4 * tolerance, "output", s, p, got, sample[c]);
    }
    const double got_x = Get(problem.grad_warp[2 * p]), got_y = Get(problem.grad_warp[2 * p + 1]);
    Check(std::fabs(got_x - slope_x) <= tolerance * size, "grad_warp x", s, p, got_x, slope_x);
    Check(std::fabs(got_y - slope_y) <= tolerance * size, "grad_warp y", s, p, got_y, slope_y);
  }
  for (std::int64_t i = 0; i < problem.grad_data.size; ++i) {
    const double got = Get(problem.grad_data[i]);
    Check(std::fabs(got - grad_data[i]) <= tolerance * scale[i], "grad_data", s, i, got,
          grad_data[i]);
  }
}

template <typename Data, typename Warp>
void Test(std::mt19937& random, std::vector<PooledParallelFor*> pools) {
  const std::int64_t kChannels[] = {0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 17, 32};
  const std::int64_t kPoints[] = {0, 1, 7, 8, 130, 511, 512, 700};
  ResamplerShape shape;
  shape.batch = random() % 4;
  shape.height = random() % 9;
  shape.width = random() % 9;
  shape.channels = kChannels[random() % 12];
  shape.points = kPoints[random() % 8];
  if (random() % 8 == 0) {  // enough work for strips
    shape = {1, 40, 30, shape.channels, 1 + 1000000 / (20 + 6 * shape.channels)};
  }
  Problem<Data, Warp> problem(shape);
  std::uniform_int_distribution<int> quarters(-16, 16);  // exact in all types
  for (std::int64_t i = 0; i < problem.data.size; ++i) Set(quarters(random) / 4.0, &problem.data[i]);
  for (std::int64_t i = 0; i < problem.output.size; ++i) {
    Set(quarters(random) / 4.0, &problem.grad_output[i]);
  }
  for (std::int64_t i = 0; i < problem.warp.size; ++i) {
    Set(Point(random, i % 2 ? shape.height : shape.width), &problem.warp[i]);
  }
  problem.Run(*pools[0]);
  Compare(problem);
  const auto bytes = problem.Results();
  for (const unsigned char byte : bytes) checksum = (checksum ^ byte) * 1099511628211u;
  for (PooledParallelFor* pool : pools) {
    problem.Run(*pool);
    if (problem.Results() != bytes) {
      Check(false, "threads", shape, pool->Threads(), 0, 0);
    }
  }
}

// A pixel that is not a number reaches only samples and gradients in which it has a weight.
void TestPoison() {
  Problem<float, float> problem({1, 3, 3, 1, 4});
  for (int i = 0; i < 9; ++i) problem.data[i] = static_cast<float>(i);
  problem.data[5] = NAN;  // x = 2, y = 1
  const float points[] = {1, 1, 1, 0.5f, 1.5f, 1, 0.25f, 0.25f};
  std::memcpy(problem.warp.data(), points, sizeof points);
  for (int i = 0; i < 4; ++i) problem.grad_output[i] = 1;
  Serial serial;
  problem.Run(serial);
  const double output[] = {4, 2.5, NAN, 1};
  const double grad_y[] = {3, 3, NAN, 3};
  for (int i = 0; i < 4; ++i) {
    const auto same = [](double a, double b) { return a == b || (a != a && b != b); };
    Check(same(problem.output[i], output[i]), "poisoned output", problem.shape, i,
          problem.output[i], output[i]);
    Check(same(problem.grad_warp[2 * i + 1], grad_y[i]), "poisoned grad_warp", problem.shape, i,
          problem.grad_warp[2 * i + 1], grad_y[i]);
  }
}

// Sizes whose product overflows are those of empty arrays.
void TestHugeEmpty() {
  Serial serial;
  Problem<float, float> problem({2, 0, std::int64_t{1} << 62, 1, 3});
  std::memset(problem.warp.data(), 0, problem.warp.size * sizeof(float));
  problem.Run(serial);
  for (int i = 0; i < 6; ++i) Check(problem.output[i] == 0, "empty", problem.shape, i, 1, 0);
}

}  // namespace
}  // namespace snt_ops

int main(int count, char**) {
  using namespace snt_ops;
  PooledParallelFor one(1), two(2), three(3), seven(7);
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    Test<float, float>(random, {&one, &two, &three, &seven});
    Test<double, double>(random, {&one, &two, &three, &seven});
    Test<Half, Half>(random, {&one, &three});
    Test<Half, float>(random, {&one, &three});
    Test<BFloat16, BFloat16>(random, {&one, &three});
    Test<BFloat16, float>(random, {&one, &three});
  }
  TestPoison();
  TestHugeEmpty();
  if (count > 1) {
    std::printf("%016llx\n", static_cast<unsigned long long>(checksum));
  } else {
    std::printf("%s: %d failures\n", ResamplerSimdLevel(), failures);
  }
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
