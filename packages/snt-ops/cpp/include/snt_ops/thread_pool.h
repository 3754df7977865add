// A small pool of threads for callers that have none of their own.
#ifndef SNT_OPS_THREAD_POOL_H_
#define SNT_OPS_THREAD_POOL_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "snt_ops/parallel.h"

namespace snt_ops {

// Runs one loop at a time. The calling thread works too; a second caller waits for its turn.
class ThreadPool : public ParallelFor {
 public:
  explicit ThreadPool(int threads) : threads_(std::max(threads, 1)) {
    for (int i = 1; i < threads_; ++i) workers_.emplace_back([this] { Serve(); });
  }

  ~ThreadPool() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int Threads() const override { return threads_; }

  void Run(std::int64_t total, std::int64_t cost, const Work& work) override {
    if (total <= 0) return;
    // Pieces large enough to be worth a thread, and some for each thread, since pieces differ.
    const std::int64_t least = std::max<std::int64_t>(1, kLeastCost / std::max<std::int64_t>(cost, 1));
    const std::int64_t piece = std::max(least, (total - 1) / (std::int64_t{4} * threads_) + 1);
    if (threads_ == 1 || piece >= total) {
      work(0, total);
      return;
    }
    std::lock_guard<std::mutex> turn(turn_);
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = &work;
    next_ = 0;
    total_ = total;
    piece_ = piece;
    ++generation_;
    wake_.notify_all();
    Take(lock);
    done_.wait(lock, [this] { return busy_ == 0; });
    work_ = nullptr;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr std::int64_t kLeastCost = 50000;

  // Works on the present loop until nothing is left of it; `lock` is held on entry and on exit.
  void Take(std::unique_lock<std::mutex>& lock) {
    ++busy_;
    while (next_ < total_) {
      const std::int64_t begin = next_;
      const std::int64_t end = std::min(total_, begin + piece_);
      next_ = end;
      const Work& work = *work_;
      lock.unlock();
      std::exception_ptr error;
      try {
        work(begin, end);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) {
        error_ = error;
        next_ = total_;
      }
    }
    --busy_;
  }

  void Serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    std::uint64_t seen = 0;
    while (true) {
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      Take(lock);
      if (busy_ == 0) done_.notify_one();
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex turn_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  const Work* work_ = nullptr;
  std::int64_t next_ = 0;
  std::int64_t total_ = 0;
  std::int64_t piece_ = 1;
  std::uint64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
};

}  // namespace snt_ops

#endif  // SNT_OPS_THREAD_POOL_H_
