#pragma once

#include "lease.hpp"

#include "../core/allocation_guard.hpp"
#include "../core/awaitable.hpp"
#include "../core/check.hpp"
#include "../core/operation.hpp"
#include "../core/result.hpp"
#include "../core/sanitizers.hpp"
#include "../core/stop.hpp"

#include <new>

namespace coho {

/// Who needs a buffer of a pool, now or when one comes home. It may move while it neither waits nor
/// holds one.
class buffer_waiter {
public:
    /// Who waited and got one is put in that queue, by whoever gave the buffer back.
    void grant_by(intrusive_queue<buffer_waiter>& granted) noexcept { granted_ = &granted; }

    /// Whether it holds a buffer; if not, it waits for one from here on.
    inline bool obtain(buffer_pool& pool) noexcept;
    bool waits() const noexcept { return place_ == place::with_pool; }
    /// It waited, and is in the queue of those who got one.
    bool is_granted() const noexcept { return place_ == place::granted; }
    /// The next of those in the queue, which it leaves.
    template <class Waiter>
    static Waiter& next_of(intrusive_queue<buffer_waiter>& granted) noexcept {
        auto& first = granted.pop();
        first.place_ = place::nowhere;
        return static_cast<Waiter&>(first);
    }
    lease& held() noexcept { return held_; }
    lease take_held() noexcept { return std::move(held_); }
    /// Waits no more, and holds none.
    inline void give_up(buffer_pool& pool) noexcept;

    buffer_waiter* next = nullptr;

private:
    friend class buffer_pool;

    enum class place : unsigned char { nowhere, with_pool, granted };

    void grant(lease granted) noexcept {
        place_ = place::granted;
        held_ = std::move(granted);
        granted_->push(*this);
    }
    void leave_granted() noexcept {
        if (place_ == place::granted) granted_->remove(*this);
        place_ = place::nowhere;
    }

    intrusive_queue<buffer_waiter>* granted_ = nullptr;
    lease held_;
    place place_ = place::nowhere;
};

struct buffer_pool_options {
    /// How many connections can hold bytes at once; the others wait.
    std::size_t count = 1024;
    /// Bytes of each, and so the most that one receive brings.
    std::size_t size = 16'384;
    /// Asks the system for large pages, madvise(2).
    bool huge_pages = false;
};

/// A fixed number of buffers of one size, in one slab of memory that the system fills in as they
/// are first used. Buffers go out as leases; those who wait for one get it in the order they came.
/// All of it belongs to the loop's thread, save that leases may end on any. It allocates nothing
/// once it is made. What is not on lease is forbidden, see forbid().
class buffer_pool {
public:
    /// Throws std::bad_alloc.
    buffer_pool(event_loop& home, const buffer_pool_options& wanted)
        : home_(&home), count_(wanted.count), size_(wanted.size),
          stride_((wanted.size + alignment - 1) / alignment * alignment),
          page_(wanted.huge_pages ? large_page : small_page) {
        check(count_ > 0 && count_ <= most_buffers, "a buffer pool has 1 to 65,536 buffers");
        check(size_ > 0 && size_ <= most_bytes, "a pool's buffer has 1 byte to 1 GiB");
        const auto bytes = slab_bytes() + count_ * sizeof(pooled_buffer);
        allocation_guard::note("a pool of buffers", bytes);
        memory_ = static_cast<std::byte*>(::operator new(bytes, std::align_val_t(page_)));
        buffers_ = reinterpret_cast<pooled_buffer*>(memory_ + slab_bytes());
        forbid(memory_, slab_bytes());
    }
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;
    ~buffer_pool() {
        check(leased_ == 0, "a scheduler ends while leases of its buffers are alive; "
                            "destroy every lease before run() returns");
        if (sending_ == 0) ::operator delete(memory_, std::align_val_t(page_));
        else leave_allocated(memory_);
    }

    std::size_t count() const noexcept { return count_; }
    /// Bytes of each buffer.
    std::size_t buffer_size() const noexcept { return size_; }
    /// Buffers that are out as leases now.
    std::size_t leased() const noexcept { return leased_; }
    /// Buffers that the kernel holds now, to fill one when bytes come.
    std::size_t lent() const noexcept { return lent_; }
    /// Buffers that were sent and are leases no more, but which the kernel may still read.
    std::size_t sending() const noexcept { return sending_; }
    /// Buffers that can be had at once.
    std::size_t idle() const noexcept { return count_ - leased_ - lent_ - sending_; }
    /// Those who wait for a buffer now.
    std::size_t waiting() const noexcept { return waiting_; }
    bool belongs_to(const event_loop& loop) const noexcept { return home_ == &loop; }

    /// An empty buffer, or a null lease where none is left.
    lease try_take() noexcept {
        auto* buffer = pop();
        if (!buffer) return {};
        ++leased_;
        return lease_of(*buffer, 0);
    }
    class taking;
    /// An empty buffer, once there is one; an error only where stop is asked.
    [[nodiscard]] taking take() noexcept;

    /// The slab, for a kernel that wants to know of it.
    std::span<std::byte> memory() const noexcept { return {memory_, slab_bytes()}; }

    // For a kernel that picks buffers by itself.
    /// A buffer for it to fill, or null where none is left.
    pooled_buffer* lend() noexcept {
        auto* buffer = pop();
        if (buffer) ++lent_;
        return buffer;
    }
    /// It has filled that one.
    lease return_filled(std::size_t index, std::size_t bytes) noexcept {
        --lent_;
        ++leased_;
        return lease_of(buffers_[index], bytes);
    }
    std::size_t index_of(const pooled_buffer& buffer) const noexcept {
        return static_cast<std::size_t>(&buffer - buffers_);
    }

    // For a kernel that sends from a buffer and does not copy it.
    /// It may read this one until return_sent(), also once the lease has ended, which it does on
    /// the loop's thread.
    void lend_sent(pooled_buffer& buffer) noexcept { ++buffer.users; }
    void return_sent(pooled_buffer& buffer) noexcept {
        if (--buffer.users > 0) return;
        --sending_;
        ++leased_;
        take_home(buffer);
    }

private:
    friend class buffer_waiter;

    static constexpr std::size_t most_buffers = 65'536;
    static constexpr std::size_t most_bytes = std::size_t(1) << 30;
    // No two buffers share a line of the processor's cache.
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t small_page = 4096;
    static constexpr std::size_t large_page = std::size_t(2) << 20;

    std::size_t slab_bytes() const noexcept { return count_ * stride_; }

    /// The one that came home last, for it is warm.
    pooled_buffer* pop() noexcept {
        if (auto* buffer = home_again_) {
            home_again_ = static_cast<pooled_buffer*>(buffer->next);
            return buffer;
        }
        if (used_ == count_) return nullptr;
        const auto index = used_++;
        auto* buffer = ::new (static_cast<void*>(buffers_ + index)) pooled_buffer;
        buffer->pool = this;
        buffer->go_home = [](pooled_buffer& ended) noexcept { ended.pool->give_back(ended); };
        buffer->memory = {memory_ + index * stride_, size_};
        buffer->finish = [](event_loop::posted_work& work, bool) {
            auto& arrived = static_cast<pooled_buffer&>(work);
            arrived.pool->take_home(arrived);
        };
        return buffer;
    }
    static lease lease_of(pooled_buffer& buffer, std::size_t bytes) noexcept {
        allow(buffer.memory.data(), buffer.memory.size());
        buffer.users = 1;
        return {buffer, bytes};
    }
    void give_back(pooled_buffer& buffer) noexcept {
        forbid(buffer.memory.data(), buffer.memory.size());
        if (--buffer.users > 0) {
            --leased_;
            ++sending_;
        } else if (home_->is_own_thread()) {
            take_home(buffer);
        } else {
            home_->post(buffer);
        }
    }
    void take_home(pooled_buffer& buffer) noexcept {
        if (!waiters_.empty()) {
            --waiting_;
            grant(waiters_.pop(), buffer);
            return;
        }
        --leased_;
        buffer.next = home_again_;
        home_again_ = &buffer;
    }
    inline void grant(buffer_waiter& waiter, pooled_buffer& buffer) noexcept;
    void await(buffer_waiter& waiter) noexcept {
        ++waiting_;
        waiters_.push(waiter);
    }
    void forget(buffer_waiter& waiter) noexcept {
        --waiting_;
        waiters_.remove(waiter);
    }

    event_loop* home_;
    std::size_t count_;
    std::size_t size_;
    std::size_t stride_;
    std::size_t page_;
    std::byte* memory_ = nullptr;
    pooled_buffer* buffers_ = nullptr;
    std::size_t used_ = 0;
    std::size_t leased_ = 0;
    std::size_t lent_ = 0;
    std::size_t sending_ = 0;
    std::size_t waiting_ = 0;
    pooled_buffer* home_again_ = nullptr;
    intrusive_queue<buffer_waiter> waiters_;
};

inline bool buffer_waiter::obtain(buffer_pool& pool) noexcept {
    if (waits()) return false;
    leave_granted();
    if (!held_) held_ = pool.try_take();
    if (held_) return true;
    place_ = place::with_pool;
    pool.await(*this);
    return false;
}
inline void buffer_waiter::give_up(buffer_pool& pool) noexcept {
    if (waits()) pool.forget(*this);
    leave_granted();
    held_.reset();
}

class [[nodiscard]] buffer_pool::taking : public await_in_task<taking>,
                                          private buffer_waiter,
                                          private stop_callback {
public:
    explicit taking(buffer_pool& pool) noexcept : stop_callback(&stop_asked), pool_(&pool) {}
    taking(taking&& unstarted) noexcept : taking(*unstarted.pool_) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        if (inherited.stop->stop_requested()) {
            stopped_ = inherited.stop->reason();
            return started::done;
        }
        if (obtain(*pool_)) return started::done;
        ready_.waiter = waiter;
        connect(*inherited.stop);
        return started::pending;
    }
    result<lease> finish() noexcept {
        disconnect();
        auto granted = take_held();
        if (granted) return granted;
        return stopped_;
    }

private:
    friend class buffer_pool;

    void resume() noexcept {
        disconnect();
        pool_->home_->resume_later(ready_);
    }
    static void stop_asked(stop_callback& callback, errc reason) noexcept {
        auto& self = static_cast<taking&>(callback);
        self.stopped_ = reason;
        self.give_up(*self.pool_);
        self.pool_->home_->resume_later(self.ready_);
    }

    buffer_pool* pool_;
    resumption ready_;
    errc stopped_ = errc::none;
};

inline buffer_pool::taking buffer_pool::take() noexcept { return taking(*this); }

inline void buffer_pool::grant(buffer_waiter& waiter, pooled_buffer& buffer) noexcept {
    if (waiter.granted_) {
        waiter.grant(lease_of(buffer, 0));
    } else {
        // No kernel, but a task.
        waiter.place_ = buffer_waiter::place::nowhere;
        waiter.held_ = lease_of(buffer, 0);
        static_cast<taking&>(waiter).resume();
    }
}

}  // namespace coho
