#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <utility>

namespace coho {

/// A place in the ready queue: who is to be resumed. It lives with the one who waits.
struct resumption {
    resumption* next = nullptr;
    std::coroutine_handle<> waiter;
};

/// First in, first out; linked through the elements, so that it never allocates. One thread.
template <class Element>
class intrusive_queue {
public:
    bool empty() const noexcept { return !first_; }

    void push(Element& element) noexcept {
        element.next = nullptr;
        if (last_) last_->next = &element;
        else first_ = &element;
        last_ = &element;
    }

    /// Only where the queue is not empty.
    Element& pop() noexcept {
        auto& element = *first_;
        first_ = static_cast<Element*>(element.next);
        if (!first_) last_ = nullptr;
        return element;
    }

    /// Appends all of the other queue, which is empty afterwards.
    template <std::derived_from<Element> Other>
    void take_all(intrusive_queue<Other>& other) noexcept {
        if (other.empty()) return;
        if (last_) last_->next = other.first_;
        else first_ = other.first_;
        last_ = other.last_;
        other.first_ = other.last_ = nullptr;
    }

    /// Takes one element out of the middle, in linear time; false where it is not in the queue.
    bool remove(Element& element) noexcept {
        Element* before = nullptr;
        for (auto* each = first_; each; before = each, each = static_cast<Element*>(each->next)) {
            if (each != &element) continue;
            if (before) before->next = element.next;
            else first_ = static_cast<Element*>(element.next);
            if (last_ == &element) last_ = before;
            return true;
        }
        return false;
    }

private:
    template <class Other>
    friend class intrusive_queue;

    Element* first_ = nullptr;
    Element* last_ = nullptr;
};

/// What a kernel carries by address from start() until wait() hands it back.
struct operation : resumption {
    /// At least 0: a count or a handle. Below 0: the system's error number, negated.
    std::intptr_t outcome = 0;
    /// Still the kernel's: it may be cancelled.
    bool pending = false;
    /// For the kernel: it was cancelled, and is not to go on.
    bool cancel_asked = false;

    /// For the kernel: it is over, and goes to the queue that wait() hands back.
    void complete(std::intptr_t result, intrusive_queue<operation>& completed) noexcept {
        outcome = result;
        pending = false;
        completed.push(*this);
    }
};

using resumption_queue = intrusive_queue<resumption>;
using operation_queue = intrusive_queue<operation>;

/// Whether what was started is over already, or goes on and resumes its waiter at the end.
enum class started : bool { done, pending };

}  // namespace coho
