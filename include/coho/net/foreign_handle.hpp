#pragma once

#include "socket.hpp"

#include "../backend/native.hpp"

namespace coho {

template <backend Backend, direction side>
class [[nodiscard]] polling
    : public socket_operation<polling<Backend, side>, Backend, request::poll, side,
                              socket_role::foreign> {
public:
    using polling::socket_operation::socket_operation;

    result<void> finish() noexcept { return this->success(); }
};

/// Waits for a handle that somebody else owns, reads and writes: a pipe, or the socket of another
/// library. It must stay open until this object is gone, which does not close it.
template <backend Backend>
class basic_foreign_handle {
public:
    /// To be called within a task. Regular files cannot be waited for: errc::permission_denied.
    static result<basic_foreign_handle> watch(handle foreign) noexcept {
        auto& on = scheduler<Backend>::current();
        if (const int failed = on.kernel().attach(foreign)) return Backend::describe(failed);
        return basic_foreign_handle(on, foreign);
    }

    /// Until a read would not block, at the end of a stream too. poll(2).
    [[nodiscard]] auto readable() noexcept {
        return polling<Backend, direction::receive>(
            socket_, {socket_.native_handle(), direction::receive});
    }
    /// Until a write would not block.
    [[nodiscard]] auto writable() noexcept {
        return polling<Backend, direction::send>(socket_,
                                                 {socket_.native_handle(), direction::send});
    }

private:
    basic_foreign_handle(scheduler<Backend>& on, handle foreign) noexcept : socket_(on, foreign) {}

    basic_socket<Backend, socket_role::foreign> socket_;
};

using foreign_handle = basic_foreign_handle<native>;

}  // namespace coho
