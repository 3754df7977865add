// Threads for callers that bring no framework that has some.
#ifndef SNT_OPS_SHARED_POOL_H_
#define SNT_OPS_SHARED_POOL_H_

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "snt_ops/parallel.h"

namespace snt_ops {

// The threads of this process. They are made when first needed and never end: a static destructor
// that waits for threads would hang in processes that leave in a hurry.
class SharedPool {
 public:
  // The one pool. A forked child, in which the threads do not exist, gets a new one.
  static SharedPool& Get() {
    static const bool once = [] {
      pool_ = new SharedPool;
      pthread_atfork(nullptr, nullptr, [] { pool_ = new SharedPool; });
      return true;
    }();
    static_cast<void>(once);
    return *pool_;
  }

  // Calls `piece` for 0 to `pieces` - 1, in at most `threads` threads, the calling one among them.
  // Calls from several threads at the same time share the pool.
  void Run(int threads, std::int64_t pieces, const std::function<void(std::int64_t)>& piece) {
    const int helpers = static_cast<int>(std::min<std::int64_t>(threads, pieces)) - 1;
    if (helpers <= 0) {
      for (std::int64_t i = 0; i < pieces; ++i) piece(i);
      return;
    }
    const auto job = std::make_shared<Job>(piece, pieces);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (; size_ < helpers; ++size_) std::thread([this] { Work(); }).detach();
      for (int i = 0; i < helpers; ++i) jobs_.push_back(job);
    }
    changed_.notify_all();
    job->Help();
    job->Wait();
  }

 private:
  struct Job {
    Job(const std::function<void(std::int64_t)>& piece, std::int64_t pieces)
        : piece_(piece), pieces_(pieces), left_(pieces) {}

    // Does pieces until none is left to begin. `piece_` lives as long as there is one.
    void Help() {
      for (;;) {
        const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= pieces_) return;
        std::exception_ptr error;
        try {
          piece_(i);
        } catch (...) {
          error = std::current_exception();
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        if (error && !error_) error_ = error;
        if (--left_ == 0) done_.notify_all();
      }
    }

    // Returns when all pieces are done, and throws what one of them threw.
    void Wait() {
      std::unique_lock<std::mutex> lock(mutex_);
      done_.wait(lock, [this] { return left_ == 0; });
      if (error_) std::rethrow_exception(error_);
    }

   private:
    const std::function<void(std::int64_t)>& piece_;
    const std::int64_t pieces_;
    std::atomic<std::int64_t> next_{0};
    std::mutex mutex_;
    std::condition_variable done_;
    std::int64_t left_;
    std::exception_ptr error_;
  };

  void Work() {
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job->Help();
    }
  }

  static inline SharedPool* pool_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;
  int size_ = 0;
};

// A loop in at most `threads` threads of the shared pool.
class PooledParallelFor : public ParallelFor {
 public:
  explicit PooledParallelFor(int threads) : threads_(threads) {}

  int Threads() const override { return threads_; }

  void Run(std::int64_t total, std::int64_t cost, const Work& work) override {
    if (total <= 0) return;
    // Some more pieces than threads even out their speeds.
    const std::int64_t pieces =
        std::min({total, MostPieces(total, cost), std::int64_t{4} * threads_});
    if (threads_ <= 1 || pieces == 1) {
      work(0, total);
      return;
    }
    const std::int64_t each = total / pieces;
    const std::int64_t longer = total % pieces;
    SharedPool::Get().Run(threads_, pieces, [&](std::int64_t i) {
      const std::int64_t begin = i * each + std::min(i, longer);
      work(begin, begin + each + (i < longer ? 1 : 0));
    });
  }

 private:
  int threads_;
};

}  // namespace snt_ops

#endif  // SNT_OPS_SHARED_POOL_H_
