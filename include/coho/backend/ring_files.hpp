#pragma once

#include "posix_sockets.hpp"
#include "ring_data.hpp"

#include "../buffer/buffer_pool.hpp"

#include <cstdint>

#include <liburing.h>
#include <poll.h>

namespace coho {

/// How a file goes out, a buffer at a time.
enum class file_step : std::uint8_t {
    needs_buffer,
    reads,
    sends,       ///< as much as the socket has room for
    needs_room,  ///< the peer reads slowly; meanwhile it holds no buffer
};

template <>
struct ring_state<request::send_file> : buffer_waiter {
    static constexpr auto tag = ring_tag::file;
    static constexpr bool has_received() noexcept { return false; }

    /// Chooses the next step; true where there is none, for it is over.
    bool completed(int outcome) noexcept {
        if (outcome == -EINTR) return false;
        if (outcome == -EAGAIN && step == file_step::sends) return go_on_to(file_step::needs_room);
        if (outcome < 0) return finish(outcome);
        if (step == file_step::needs_room) return go_on_to(file_step::needs_buffer);
        if (step == file_step::reads) {
            held().fill(static_cast<std::size_t>(outcome));
            step = file_step::sends;
            return outcome == 0 && finish(static_cast<std::intptr_t>(progress));
        }
        progress += static_cast<std::uint64_t>(outcome);
        if (progress == asked->count) return finish(static_cast<std::intptr_t>(progress));
        const bool is_full = static_cast<std::size_t>(outcome) < held().bytes().size();
        return go_on_to(is_full ? file_step::needs_room : file_step::needs_buffer);
    }
    bool finish(std::intptr_t outcome) noexcept {
        give_up(*asked->buffers);
        waiter->outcome = outcome;
        return true;
    }

    file_step step = file_step::needs_buffer;
    operation* waiter = nullptr;
    request::send_file* asked = nullptr;
    std::uint64_t progress = 0;

private:
    /// Others may want the buffer first. What the socket did not take is read again.
    bool go_on_to(file_step next) noexcept {
        give_up(*asked->buffers);
        step = next;
        return false;
    }
};

inline void prepare_submission(io_uring_sqe& entry,
                               ring_state<request::send_file>& state) noexcept {
    const auto& asked = *state.asked;
    const int socket = descriptor_of(asked.socket);
    if (state.step == file_step::reads) {
        const auto room = state.held().room();
        const auto left = asked.count - state.progress;
        const auto most = left < room.size() ? left : room.size();
        io_uring_prep_read(&entry, descriptor_of(asked.file), room.data(),
                           static_cast<unsigned>(most), asked.offset + state.progress);
    } else if (state.step == file_step::sends) {
        const auto bytes = state.held().bytes();
        io_uring_prep_send(&entry, socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        io_uring_prep_poll_add(&entry, socket, POLLOUT);
    }
    io_uring_sqe_set_data64(&entry, ring_data(&state, state.tag));
}

}  // namespace coho
