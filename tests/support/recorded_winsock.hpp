#pragma once

#include <coho/backend/options.hpp>
#include <coho/backend/request.hpp>
#include <coho/backend/socket_address.hpp>
#include <coho/backend/winsock_errors.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace support {

/// Stands where Windows would: notes what the kernel asks of it, and answers as it was told to. So
/// what Wine hides can be tested, on any system.
class recorded_winsock {
public:
    struct overlapped {
        char unused = 0;
    };
    struct entry {
        overlapped* which;
    };
    struct buffer {
        std::byte* data;
        std::size_t size;
    };
    using accept_room = std::array<char, 1>;
    struct answer {
        int number = 0;
        std::size_t moved = 0;
    };

    static buffer make_buffer(std::byte* data, std::size_t size) noexcept { return {data, size}; }
    static overlapped* operation_of(const entry& arrived) noexcept { return arrived.which; }

    // To be told.
    /// Whether every provider allows it; asked when a kernel is made.
    static inline bool skips = true;
    /// What calls of that name answer, one after another; then that they go on.
    std::map<std::string, std::deque<answer>> answers;
    /// Lets the port hand back an operation with that outcome.
    void complete(answer outcome) {
        auto* const its = under_way.front();
        under_way.pop_front();
        outcomes[its] = outcome;
        port.push_back({its});
    }

    // To be looked at.
    std::vector<std::string> asked;
    std::deque<overlapped*> under_way;
    std::size_t count(const std::string& name) const {
        return static_cast<std::size_t>(std::count(asked.begin(), asked.end(), name));
    }

    int start_up() noexcept { return note("start_up"); }
    void shut_down() noexcept {}
    bool may_skip_completions() const noexcept { return skips; }
    int associate(coho::handle, bool skip) noexcept {
        return note(skip ? "associate, skipping" : "associate");
    }
    std::intptr_t open(coho::address_family, coho::socket_kind) noexcept {
        const int failed = note("open");
        return failed ? -failed : next_handle++;
    }
    int listen(coho::handle, int) noexcept { return note("listen"); }
    int bind(coho::handle, coho::endpoint where) noexcept {
        bound = where;
        return note("bind");
    }
    void close(coho::handle) noexcept { note("close"); }
    void disconnect(coho::handle) noexcept { note("disconnect"); }
    int shutdown(coho::handle, coho::direction) noexcept { return note("shutdown"); }
    int reuse_address(coho::handle) noexcept { return note("reuse_address"); }
    int v6_only(coho::handle, bool) noexcept { return note("v6_only"); }
    template <class Option>
    int set(coho::handle, const Option&) noexcept {
        return note("set");
    }
    template <class Option>
    int get(coho::handle, Option&) noexcept {
        return note("get");
    }
    coho::endpoint local_endpoint(coho::handle) noexcept { return bound; }
    coho::endpoint remote_endpoint(coho::handle) noexcept { return {}; }

    int accept(coho::handle, coho::handle, accept_room&, overlapped& its) noexcept {
        return begin("accept", its).number;
    }
    int connect(coho::handle, const coho::socket_address&, overlapped& its) noexcept {
        return begin("connect", its).number;
    }
    int receive(coho::handle, std::span<buffer>, std::size_t& moved, overlapped& its) noexcept {
        return begin("receive", its, &moved).number;
    }
    int send(coho::handle, std::span<buffer> bytes, std::size_t& moved, overlapped& its) noexcept {
        sizes_sent.push_back(bytes.empty() ? 0 : bytes[0].size);
        return begin("send", its, &moved).number;
    }
    int send_file(coho::handle, coho::handle, std::uint64_t offset, std::uint32_t count,
                  std::size_t& moved, overlapped& its) noexcept {
        parts_sent.push_back({offset, count});
        return begin("send_file", its, &moved).number;
    }
    std::int64_t file_size(coho::handle) noexcept { return size_of_files; }
    int receive_from(coho::handle, buffer room, std::size_t& moved, unsigned long& flags,
                     coho::socket_address&, overlapped& its) noexcept {
        const bool looks = flags & MSG_PEEK;
        return begin(looks && room.size == 0 ? "look" : "receive_from", its, &moved).number;
    }
    int send_to(coho::handle, buffer, std::size_t& moved, const coho::socket_address&,
                overlapped& its) noexcept {
        return begin("send_to", its, &moved).number;
    }
    int cancel(coho::handle, overlapped&) noexcept { return note("cancel"); }
    int outcome(coho::handle, overlapped& its, std::size_t& moved) noexcept {
        moved = outcomes[&its].moved;
        return outcomes[&its].number;
    }
    int update_accepted(coho::handle, coho::handle) noexcept { return note("update_accepted"); }
    int update_connected(coho::handle) noexcept { return note("update_connected"); }
    std::size_t dequeue(std::span<entry> entries, std::uint32_t milliseconds) noexcept {
        last_wait = milliseconds;
        std::size_t filled = 0;
        while (filled < entries.size() && !port.empty()) {
            entries[filled++] = port.front();
            port.pop_front();
        }
        return filled;
    }
    void post() noexcept { port.push_back({nullptr}); }

    std::vector<std::size_t> sizes_sent;
    /// Offset and count of each part of a file.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> parts_sent;
    std::int64_t size_of_files = 0;
    /// How long the port was last waited for, in milliseconds.
    std::uint32_t last_wait = 0;
    coho::endpoint bound;

private:
    int note(const std::string& name) noexcept {
        asked.push_back(name);
        return next_answer(name, 0).number;
    }
    answer next_answer(const std::string& name, int otherwise) noexcept {
        auto& told = answers[name];
        if (told.empty()) return {otherwise, 0};
        const auto next = told.front();
        told.pop_front();
        return next;
    }
    answer begin(const std::string& name, overlapped& its, std::size_t* moved = nullptr) noexcept {
        asked.push_back(name);
        const auto next = next_answer(name, coho::windows_error::io_pending);
        if (moved) *moved = next.moved;
        const bool queues = next.number == coho::windows_error::io_pending ||
                            (next.number == 0 && !skips);
        if (queues) under_way.push_back(&its);
        return next;
    }

    std::intptr_t next_handle = 100;
    std::map<overlapped*, answer> outcomes;
    std::deque<entry> port;
};

}  // namespace support
