#pragma once

#include "explorer.hpp"

namespace model {

/// Stands where the library has std::atomic; each operation is a step of the explorer.
template <class T>
class atomic {
public:
    using where = std::source_location;
    using memory_order = std::memory_order;
    static constexpr auto strictest = std::memory_order_seq_cst;

    atomic() : atomic(T()) {}
    atomic(T value) { explorer::active->make(this, value, false); }
    atomic(const atomic&) = delete;
    ~atomic() { explorer::active->end(this); }

    T load(memory_order order = strictest, where from = where::current()) const {
        return step({action::load, 0, order, order, 0, 0, from});
    }
    void store(T value, memory_order order = strictest, where from = where::current()) {
        step({action::store, 0, order, order, explorer::encode(value), 0, from});
    }
    T exchange(T value, memory_order order = strictest, where from = where::current()) {
        return step({action::exchange, 0, order, order, explorer::encode(value), 0, from});
    }
    T fetch_add(T value, memory_order order = strictest, where from = where::current()) {
        return step({action::add, 0, order, order, explorer::encode(value), 0, from});
    }
    T fetch_sub(T value, memory_order order = strictest, where from = where::current()) {
        return fetch_add(static_cast<T>(-value), order, from);
    }
    bool compare_exchange_strong(T& expected, T value, memory_order order = strictest,
                                 where from = where::current()) {
        const bool releases_only = order == std::memory_order_release;
        const auto if_unequal = releases_only                        ? std::memory_order_relaxed
                                : order == std::memory_order_acq_rel ? std::memory_order_acquire
                                                                     : order;
        return compare_exchange_strong(expected, value, order, if_unequal, from);
    }
    bool compare_exchange_strong(T& expected, T value, memory_order order, memory_order if_unequal,
                                 where from = where::current()) {
        const T found = step({action::compare_exchange, 0, order, if_unequal,
                              explorer::encode(value), explorer::encode(expected), from});
        if (found == expected) return true;
        expected = found;
        return false;
    }
    /// Never without a reason: to try the same again makes no difference.
    bool compare_exchange_weak(T& expected, T value, memory_order order, memory_order if_unequal,
                               where from = where::current()) {
        return compare_exchange_strong(expected, value, order, if_unequal, from);
    }

private:
    T step(const request& wanted) const {
        return explorer::decode<T>(explorer::active->step(this, wanted));
    }
};

/// Memory that is not atomic: a use of it that races with another one is a failure.
template <class T>
class plain {
public:
    plain() : plain(T()) {}
    plain(T value) : value_(value) { explorer::active->make(this, value, true); }
    plain(const plain&) = delete;
    ~plain() { explorer::active->end(this); }

    operator T() const {
        explorer::active->read_plain(this);
        return value_;
    }
    plain& operator=(T value) {
        explorer::active->write_plain(this);
        value_ = value;
        return *this;
    }

private:
    T value_;
};

/// What one of the threads ends, once. Its memory stays, so that a use after the end is seen.
template <class T>
class ended_by_hand {
public:
    template <class... Arguments>
    explicit ended_by_hand(Arguments&&... arguments) {
        new (room_) T(std::forward<Arguments>(arguments)...);
    }
    ended_by_hand(const ended_by_hand&) = delete;
    ~ended_by_hand() { explorer::active->expect(has_ended_, "something was never freed"); }

    T& operator*() { return *std::launder(reinterpret_cast<T*>(room_)); }
    T* operator->() { return &**this; }
    void end() {
        explorer::active->expect(!has_ended_, "something was freed twice");
        has_ended_ = true;
        (**this).~T();
    }

private:
    alignas(T) std::byte room_[sizeof(T)];
    bool has_ended_ = false;
};

inline int choose(int count) {
    return explorer::active->choose(count);
}
inline void expect(bool holds, const char* words) {
    explorer::active->expect(holds, words);
}

}  // namespace model
