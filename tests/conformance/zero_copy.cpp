// Sends without a copy, which io_uring alone has: the buffer is the kernel's until the peer has
// acknowledged what was in it.

#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/stream_bytes.hpp"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <linux/capability.h>
#include <sys/syscall.h>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::errc;
using coho::lease;
using coho::task;
using support::reason_of;

namespace {

using ring = coho::io_uring;
using ring_link = support::stream_and_peer<ring>;

// All of it is more than a peer that does not read takes, and less than the system keeps for it.
constexpr std::size_t piece = 4'096, pieces = 16;

coho::buffer_pool& pool_of_pieces() {
    auto& on = coho::scheduler<ring>::current();
    on.use_buffers({.count = pieces, .size = piece});
    return on.buffers();
}

/// Runs it where every lease is sent without a copy, save that the options say something else.
template <class Function>
void run_without_copies(Function function, ring::options wanted = {.zero_copy_from = 1}) {
    support::run_on<ring>(function, wanted);
}

task<ring_link> accept_slow_peer() {
    auto listener = coho::basic_tcp_listener<ring>::bind(coho::endpoint::loopback(0)).value();
    support::raw_socket peer(coho::socket_kind::stream);
    peer.set(SO_RCVBUF, 16'384);
    peer.connect(listener.local_endpoint());
    auto accepted = co_await listener.accept();
    ring_link both{std::move(accepted).value(), std::move(peer)};
    CHECK(both.stream.set(coho::send_buffer_size{1 << 20}));
    co_return std::move(both);
}

task<> send_pieces(coho::basic_tcp_stream<ring>& stream, coho::buffer_pool& pool) {
    for (std::size_t i = 0; i < pieces; ++i) {
        auto held = co_await pool.take();
        REQUIRE(held);
        support::fill(held->room(), i * piece);
        held->fill(piece);
        auto sent = co_await stream.write_all(std::move(*held));
        REQUIRE(sent);
    }
}

/// What others do with buffers that have come home.
void write_over_idle(coho::buffer_pool& pool) {
    std::vector<lease> taken;
    while (auto each = pool.try_take()) {
        std::ranges::fill(each.room(), std::byte{});
        taken.push_back(std::move(each));
    }
}

task<> await_home(coho::buffer_pool& pool) {
    while (pool.sending() > 0) co_await coho::yield();
    CHECK(pool.leased() == 0);
    CHECK(pool.idle() == pool.count());
}

/// Has this thread ask for no more memory than its limit, which root need not: capabilities(7).
class limited_memory {
public:
    limited_memory() {
        support::checked(::syscall(SYS_capget, &header_, before_));
        auto less = std::to_array(before_);
        less[0].effective &= ~(1u << CAP_IPC_LOCK);
        support::checked(::syscall(SYS_capset, &header_, less.data()));
        support::checked(::getrlimit(RLIMIT_MEMLOCK, &limit_));
    }
    limited_memory(const limited_memory&) = delete;
    ~limited_memory() {
        ::setrlimit(RLIMIT_MEMLOCK, &limit_);
        ::syscall(SYS_capset, &header_, before_);
    }
    void use_up() const {
        const rlimit none{0, limit_.rlim_max};
        support::checked(::setrlimit(RLIMIT_MEMLOCK, &none));
    }

private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct before_[_LINUX_CAPABILITY_U32S_3]{};
    rlimit limit_{};
};

}  // namespace

TEMPLATE_TEST_CASE("H18: a buffer that is sent comes home once the peer has it, and not before",
                   "[conformance][leases][H18]", support::io_uring) {
    run_without_copies([]() -> task<> {
        auto& pool = pool_of_pieces();
        auto link = co_await accept_slow_peer();
        co_await send_pieces(link.stream, pool);
        CHECK(pool.leased() == 0);
        co_await support::let_turns_pass();
        CHECK(pool.sending() > 0);
        CHECK(pool.idle() + pool.sending() == pieces);
        for (std::size_t place = 0; place < pieces * piece; place += 1'024) {
            write_over_idle(pool);
            const auto text = link.peer.receive(1'024);
            CHECK_FALSE(support::first_wrong(as_bytes(text), place));
            co_await coho::yield();
        }
        co_await await_home(pool);
    });
}

TEMPLATE_TEST_CASE("H18: what is too short to be sent without a copy is home at once",
                   "[conformance][leases][H18]", support::io_uring) {
    const std::size_t from = GENERATE(piece, piece + 1);
    const auto send_to_slow_peer = [=]() -> task<> {
        auto& pool = pool_of_pieces();
        auto link = co_await accept_slow_peer();
        co_await send_pieces(link.stream, pool);
        CHECK((pool.sending() > 0) == (from == piece));
        link.peer.close();
        co_await await_home(pool);
    };
    run_without_copies(send_to_slow_peer, {.zero_copy_from = from});
}

TEMPLATE_TEST_CASE("H18: a send that is stopped gives its buffer back once the peer is through",
                   "[conformance][leases][H18]", support::io_uring) {
    const bool is_reset = GENERATE(true, false);
    run_without_copies([=]() -> task<> {
        auto& on = coho::scheduler<ring>::current();
        on.use_buffers({.count = 1, .size = 1 << 20});
        auto& pool = on.buffers();
        auto link = co_await accept_slow_peer();
        CHECK(link.stream.set(coho::send_buffer_size{16'384}));
        auto held = pool.try_take();
        support::fill(held.room(), 0);
        held.fill(held.room().size());
        auto sent = co_await coho::timeout(5ms, link.stream.write_all(std::move(held)));
        CHECK(reason_of(sent) == errc::timed_out);
        CHECK(pool.leased() == 0);
        CHECK(pool.sending() == 1);
        CHECK(link.stream.shutdown_send());
        if (is_reset) {
            link.peer.reset();
        } else {
            const auto text = link.peer.receive_to_end();
            CHECK(text.size() < (1 << 20));
            CHECK_FALSE(support::first_wrong(as_bytes(text), 0));
        }
        co_await await_home(pool);
    });
}

TEMPLATE_TEST_CASE("H18: a scheduler's end does not free what is still being sent",
                   "[conformance][leases][H18]", support::io_uring) {
    support::raw_socket peer(coho::socket_kind::stream);
    run_without_copies([&]() -> task<> {
        auto& pool = pool_of_pieces();
        auto link = co_await accept_slow_peer();
        peer = std::move(link.peer);
        co_await send_pieces(link.stream, pool);
        CHECK(pool.sending() > 0);
    });
    std::vector<std::unique_ptr<std::byte[]>> others;
    for (std::size_t i = 0; i < 2 * pieces; ++i) {
        others.push_back(std::make_unique<std::byte[]>(i * piece));
    }
    const auto text = peer.receive_to_end();
    CHECK(text.size() == pieces * piece);
    CHECK_FALSE(support::first_wrong(as_bytes(text), 0));
}

TEMPLATE_TEST_CASE("H18: where no more memory may be held, it is copied",
                   "[conformance][leases][H18]", support::io_uring) {
    const limited_memory limit;
    run_without_copies([&]() -> task<> {
        auto& pool = pool_of_pieces();
        auto link = co_await accept_slow_peer();
        limit.use_up();
        co_await send_pieces(link.stream, pool);
        CHECK(pool.sending() == 0);
        const auto text = link.peer.receive(pieces * piece);
        CHECK_FALSE(support::first_wrong(as_bytes(text), 0));
        co_await await_home(pool);
    });
}

TEMPLATE_TEST_CASE("H18: the buffer of another scheduler is copied, and goes home from there",
                   "[conformance][leases][H18]", support::io_uring) {
    run_without_copies([]() -> task<> {
        auto& on = coho::scheduler<ring>::current();
        on.use_buffers({.count = 1, .size = pieces * piece});
        auto& pool = on.buffers();
        auto held = pool.try_take();
        held.fill(held.room().size());
        std::thread other([&] {
            run_without_copies([&]() -> task<> {
                auto link = co_await accept_slow_peer();
                auto sent = co_await link.stream.write_all(std::move(held));
                CHECK(sent);
                CHECK(pool.sending() == 0);
            });
        });
        other.join();
        while (pool.leased() > 0) co_await coho::yield();
        CHECK(pool.idle() == 1);
    });
}
