#include "support/child_process.hpp"
#include "support/stream_pair.hpp"
#include "support/world.hpp"

#include <array>
#include <csignal>
#include <thread>

namespace {

template <class Backend>
coho::task<> listen() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    co_return;
}
template <class Backend>
coho::task<> accept_on(coho::basic_tcp_listener<Backend>& listener) {
    auto accepted = co_await listener.accept();
    CHECK_FALSE(accepted);
}
/// Makes a listener here, and lets another scheduler's task use it.
template <class Backend>
coho::task<> lend() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    coho::run<Backend>({.signals = {}}, accept_on<Backend>, listener);
    co_return;
}
template <class Backend>
coho::task<> fork_and_go_on() {
    const pid_t child = ::fork();
    if (child != 0) {
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) std::raise(WTERMSIG(status));
    }
    co_await coho::sleep(std::chrono::milliseconds(1));
}

coho::task<> take_buffer(coho::lease* kept) {
    *kept = coho::scheduler<coho::epoll>::current().buffers().try_take();
    co_return;
}

template <class Backend>
coho::task<> receive_alone_after_batches() {
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    (void)socket.batches();
    auto moved = std::move(socket);
    std::array<std::byte, 8> buffer;
    (void)co_await moved.send_to({}, moved.local_endpoint());
    (void)co_await moved.receive_from(buffer);
}
template <class Backend>
coho::task<> lease_after_batches() {
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    (void)socket.batches();
    (void)co_await socket.send_to({}, socket.local_endpoint());
    (void)socket.incoming();
}
template <class Backend>
coho::task<> ask_for_batches_after_leases() {
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    (void)socket.incoming();
    (void)co_await socket.send_to({}, socket.local_endpoint());
    (void)socket.batches();
}
template <class Backend>
coho::task<> ask_for_batches_under_a_receive() {
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    std::array<std::byte, 8> buffer;
    auto ask = [&]() -> coho::task<> {
        co_await coho::yield();
        (void)socket.batches();
        (void)co_await socket.send_to({}, socket.local_endpoint());
    };
    (void)co_await coho::when_all(socket.receive_from(buffer), ask());
}

/// Goes on waiting for what cannot come, whatever stop says.
struct deaf_wait : coho::await_in_task<deaf_wait> {
    coho::started start(coho::environment&, std::coroutine_handle<>) noexcept {
        return coho::started::pending;
    }
    void finish() const noexcept {}
};
coho::task<> wait_in_vain() { co_await deaf_wait(); }

/// Writes into a buffer that a read is to fill.
coho::task<> touch_lent_memory() {
    using stream = coho::basic_tcp_stream<coho::simulated>;
    std::array<std::byte, 8> buffer{};
    const auto where = coho::endpoint::loopback(7);
    auto listener = coho::basic_tcp_listener<coho::simulated>::bind(where).value();
    auto [accepted, connected] =
        co_await coho::when_all(listener.accept(), stream::connect(where));
    auto touch = [&]() -> coho::task<> {
        co_await coho::yield();
        // As a use of it through a stale pointer would, unseen by AddressSanitizer.
        coho::allow(buffer.data(), buffer.size());
        buffer[0] = std::byte(1);
        (void)co_await connected->write_all(coho::as_bytes("late"));
    };
    auto [received, nothing] =
        co_await coho::when_all(accepted->read_some(buffer), touch());
    CHECK(received);
}

void look_at(const std::byte& byte) {
    static_cast<void>(*static_cast<const volatile std::byte*>(&byte));
}
/// Sends less than is awaited, and looks before and after it may have come.
template <class Backend>
coho::task<> look_and_end(const std::byte& before, const std::byte& after,
                          coho::basic_tcp_stream<Backend>& peer) {
    constexpr int enough = 1000;
    co_await coho::yield();
    look_at(before);
    auto sent = co_await peer.write_all(coho::as_bytes("less"));
    for (int i = 0; i < enough; ++i) co_await coho::yield();
    look_at(after);
    if (sent) co_await peer.close();
}
/// Looks at a byte that a read is to fill; or else beside it, and at it once nobody reads.
template <class Backend>
coho::task<int> read_and_look(bool before_it_comes, bool after_some_came) {
    std::array<std::byte, 24> buffer{};
    auto pair = co_await support::connect_pair<Backend>();
    const auto lent = std::span(buffer).subspan(8, 8);
    auto cancelled =
        co_await coho::timeout(std::chrono::milliseconds(1), pair.server.read_some(lent));
    if (cancelled) co_return 2;
    for (const auto& each : buffer) look_at(each);
    const auto& beside = buffer[7];
    auto looking = look_and_end(before_it_comes ? lent[0] : beside,
                                after_some_came ? lent[0] : beside, pair.client);
    auto [received, nothing] =
        co_await coho::when_all(pair.server.read_exactly(lent), std::move(looking));
    if (received) co_return 3;
    for (const auto& each : buffer) look_at(each);
    co_return 0;
}

/// Looks at what a lease gave; where it was ended, too late.
template <class Backend>
coho::task<int> lease_and_look(bool ended) {
    auto pair = co_await support::connect_pair<Backend>();
    auto incoming = pair.server.incoming();
    auto sent = co_await pair.client.write_all(coho::as_bytes("on loan"));
    auto first = co_await incoming.next();
    if (!sent || !first) co_return 2;
    const auto* byte = first->bytes().data();
    if (ended) first->reset();
    look_at(*byte);
    co_return 0;
}

}  // namespace

TEMPLATE_TEST_CASE("H1: AddressSanitizer sees that memory is used while a read is to fill it",
                   "[misuse][H1]", COHO_TEST_KERNELS) {
    const auto end_of = [](bool before_it_comes, bool after_some_came) {
        return support::run_in_child([&] {
            return coho::run<TestType>(read_and_look<TestType>, before_it_comes, after_some_came);
        });
    };
    CHECK(end_of(false, false).status == 0);
    for (const auto& wrong : {end_of(true, false), end_of(false, true)}) {
        CHECK(wrong.says("ERROR: AddressSanitizer") == coho::has_address_sanitizer);
        CHECK((wrong.status == 0) == !coho::has_address_sanitizer);
    }
}

TEMPLATE_TEST_CASE("H1: AddressSanitizer sees that a lease's bytes are used after its end",
                   "[misuse][H1]", COHO_TEST_KERNELS) {
    const auto end_of = [](bool ended) {
        return support::run_in_child(
            [&] { return coho::run<TestType>(lease_and_look<TestType>, ended); });
    };
    CHECK(end_of(false).status == 0);
    const auto wrong = end_of(true);
    CHECK(wrong.says("ERROR: AddressSanitizer") == coho::has_address_sanitizer);
    CHECK((wrong.status == 0) == !coho::has_address_sanitizer);
}

TEST_CASE("a lease that outlives its scheduler ends the program", "[misuse]") {
    const auto kept = support::run_in_child([] {
        coho::lease outlives;
        return coho::run<coho::epoll>(take_buffer, &outlives);
    });
    CHECK(kept.signal == SIGABRT);
    CHECK(kept.says("destroy every lease before run() returns"));
}

TEMPLATE_TEST_CASE("datagrams received one by one from a socket of batches end the program",
                   "[misuse][batches]", COHO_TEST_KERNELS) {
    for (auto* const mistake :
         {&receive_alone_after_batches<TestType>, &ask_for_batches_under_a_receive<TestType>,
          &lease_after_batches<TestType>, &ask_for_batches_after_leases<TestType>}) {
        const auto end = support::run_in_child([&] { return coho::run<TestType>(mistake); });
        CHECK(end.signal == SIGABRT);
        CHECK(end.says("receive from its batches alone"));
    }
}

TEST_CASE("sockets outside of a scheduler, or of another kernel, end the program", "[misuse]") {
    const auto outside = support::run_in_child([] {
        auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(0));
        return listener ? 0 : 1;
    });
    CHECK(outside.signal == SIGABRT);
    CHECK(outside.says("outside of run()"));
    const auto other =
        support::run_in_child([] { return coho::run<coho::epoll>(listen<coho::io_uring>); });
    CHECK(other.signal == SIGABRT);
    CHECK(other.says("under the scheduler of another"));
}

TEMPLATE_TEST_CASE("a socket in a task of another scheduler ends the program", "[misuse]",
                   COHO_TEST_KERNELS) {
    const auto end = support::run_in_child([] { return coho::run<TestType>(lend<TestType>); });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("task of another scheduler"));
}

TEST_CASE("H23: io_uring on another thread than its own ends the program", "[misuse][H23]") {
    const auto end = support::run_in_child([] {
        coho::scheduler<coho::io_uring> world;
        std::thread other([&] { world.run(listen<coho::io_uring>); });
        std::thread another([&] { world.run(fork_and_go_on<coho::io_uring>); });
        other.join();
        another.join();
        return 0;
    });
    CHECK(end.signal == SIGABRT);
}

TEMPLATE_TEST_CASE("H22: a scheduler in a child after fork ends the child", "[misuse][H22]",
                   coho::epoll, coho::io_uring, coho::native) {
    const auto end =
        support::run_in_child([] { return coho::run<TestType>(fork_and_go_on<TestType>); });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("after fork()"));
}

TEST_CASE("a simulated world that stands still for good ends the program, and names the seed",
          "[misuse][simulated]") {
    const auto end = support::run_in_child([] {
        const std::array<const char*, 3> arguments{"program", "--seed", "77"};
        return coho::simulate(3, arguments.data(), wait_in_vain);
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a simulated world stands still"));
    CHECK(end.says("--seed 77"));
}

TEST_CASE("H1: a simulated kernel sees that memory was changed while it was lent to it",
          "[misuse][simulated][H1]") {
    const auto end = support::run_in_child([] {
        coho::simulated_options calm;
        calm.faults = coho::fault_set::none();
        coho::scheduler<coho::simulated> world(calm);
        return world.run(touch_lent_memory);
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("memory was changed while it was the kernel's"));
}
