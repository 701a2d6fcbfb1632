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
    if (!coho::ring_queues(8, false).supports({IORING_OP_SEND_ZC})) {
        WARN("this kernel cannot send without a copy; Linux 6.0 can");
        return;
    }
    support::run_with<ring>(wanted, function);
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

/// Sends one buffer of the pool, full.
task<> send_buffer(coho::basic_tcp_stream<ring>* stream, coho::buffer_pool* pool,
                   std::size_t place) {
    auto held = co_await pool->take();
    REQUIRE(held);
    support::fill(held->room(), place);
    held->fill(held->room().size());
    auto sent = co_await stream->write_all(std::move(*held));
    REQUIRE(sent);
}
task<> send_pieces(coho::basic_tcp_stream<ring>& stream, coho::buffer_pool& pool) {
    for (std::size_t i = 0; i < pieces; ++i) co_await send_buffer(&stream, &pool, i * piece);
}

/// What others do with buffers that have come home.
void write_over_idle(coho::buffer_pool& pool) {
    std::vector<lease> taken;
    while (auto each = pool.try_take()) {
        std::ranges::fill(each.room(), std::byte{});
        taken.push_back(std::move(each));
    }
}

/// The peer takes so many bytes, and meanwhile others use what has come home.
task<> receive_slowly(support::raw_socket& peer, coho::buffer_pool& pool, std::size_t count) {
    for (std::size_t place = 0; place < count;) {
        write_over_idle(pool);
        const auto unread = support::raw_socket::unread_bytes(peer.native_handle());
        const auto text = peer.receive(unread < 1'024 ? unread : 1'024);
        CHECK_FALSE(support::first_wrong(as_bytes(text), place));
        place += text.size();
        co_await coho::yield();
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
        co_await receive_slowly(link.peer, pool, pieces * piece);
        co_await await_home(pool);
    });
}

TEMPLATE_TEST_CASE("H18: what is too short to be sent without a copy is home at once",
                   "[conformance][leases][H18]", support::io_uring) {
    const std::size_t from = piece + GENERATE(0u, 1u);
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
        auto& on = coho::scheduler<ring>::current();
        on.use_buffers({.count = 1, .size = pieces * piece});
        auto& pool = on.buffers();
        auto link = co_await accept_slow_peer();
        CHECK(link.stream.set(coho::send_buffer_size{16'384}));
        limit.use_up();
        coho::task_group group;
        co_await group.spawn(send_buffer, &link.stream, &pool, 0);
        co_await support::let_turns_pass();
        CHECK(pool.leased() == 1);
        CHECK(pool.idle() == 0);
        co_await receive_slowly(link.peer, pool, pieces * piece);
        co_await group.join();
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("H18: what is no TCP is copied", "[conformance][leases][H18]",
                   support::io_uring) {
    run_without_copies([]() -> task<> {
        auto& on = coho::scheduler<ring>::current();
        auto& pool = pool_of_pieces();
        int ends[2];
        support::checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
        coho::basic_tcp_stream<ring> stream(on, static_cast<coho::handle>(ends[0]));
        coho::basic_tcp_stream<ring> peer(on, static_cast<coho::handle>(ends[1]));
        co_await send_pieces(stream, pool);
        CHECK(pool.idle() == pieces);
        const auto text = co_await support::receive_text(peer, pieces * piece);
        CHECK_FALSE(support::first_wrong(as_bytes(text), 0));
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
