#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace host_run {

// A function with a stack of its own, that can be left in the middle and gone on with. It must not return.
class Fiber {
 public:
  explicit Fiber(std::function<void()> body) : body_(std::move(body)) {
    void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) give_up();
    stack_ = static_cast<std::byte*>(memory) + kGuardBytes;
    if (mprotect(stack_, kStackBytes, PROT_READ | PROT_WRITE) != 0 || getcontext(&start_) != 0) give_up();
    start_.uc_stack.ss_sp = stack_;
    start_.uc_stack.ss_size = kStackBytes;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&start_, reinterpret_cast<void (*)()>(&Fiber::run), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
  }
  Fiber(const Fiber&) = delete;
  ~Fiber() { munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes); }

  // From outside: runs the function until it leaves.
  void enter() {
    tell_sanitizer(&outside_.fake_stack, stack_, kStackBytes);
    swap(outside_, started_ ? &inside_ : nullptr);
    arrived(outside_.fake_stack, nullptr, nullptr);
  }

  // From inside the function: goes on where it was entered.
  void leave() {
    tell_sanitizer(&inside_.fake_stack, outside_bottom_, outside_bytes_);
    swap(inside_, &outside_);
    arrived(inside_.fake_stack, &outside_bottom_, &outside_bytes_);
  }

 private:
  static constexpr std::size_t kStackBytes = 256 * 1024, kGuardBytes = 64 * 1024;

  struct Side {
    void* point[5];
    void* fake_stack = nullptr;
  };

  // The compiler's jumps, not C's: those call the system at each change (swapcontext), or have AddressSanitizer forget
  // what it knows of the stack (longjmp).
  [[gnu::noinline, gnu::no_sanitize_address]] void swap(Side& from, Side* to) {
    if (__builtin_setjmp(from.point) != 0) return;
    if (to) jump(to->point);
    started_ = true;
    setcontext(&start_);
  }
  [[gnu::noinline, gnu::no_sanitize_address]] static void jump(void** point) { __builtin_longjmp(point, 1); }

  static void run(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low);
    arrived(nullptr, &self->outside_bottom_, &self->outside_bytes_);
    self->body_();
  }

  static void tell_sanitizer([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                             [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#endif
  }
  static void arrived([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
                      [[maybe_unused]] std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#endif
  }

  [[noreturn]] static void give_up() {
    std::perror("host_run: no stack for a thread");
    std::abort();
  }

  std::function<void()> body_;
  std::byte* stack_;
  ucontext_t start_;
  bool started_ = false;
  Side outside_, inside_;
  const void* outside_bottom_ = nullptr;
  std::size_t outside_bytes_ = 0;
};

}  // namespace host_run
