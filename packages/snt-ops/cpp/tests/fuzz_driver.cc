// Runs the fuzz target on random bytes where there is no libFuzzer: `fuzz_resampler SECONDS SEED`.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 10;
  std::mt19937 random(count > 2 ? std::atoi(arguments[2]) : 1);
  // Bytes that make numbers on edges: zeros, signs, exponents of small integers, of infinities.
  const std::uint8_t kEdges[] = {0x00, 0x80, 0xff, 0x7f, 0x3f, 0x40, 0xbf, 0xc0, 0x7c, 0x3c};
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  long runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    std::vector<std::uint8_t> bytes(random() % 600);
    const bool edges = random() % 2;
    for (auto& byte : bytes) {
      byte = static_cast<std::uint8_t>(edges && random() % 2 ? kEdges[random() % 10] : random());
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%ld inputs, no fault\n", runs);
}
