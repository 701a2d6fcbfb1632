#include "support/child_process.hpp"
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

}  // namespace

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
         {&receive_alone_after_batches<TestType>, &ask_for_batches_under_a_receive<TestType>}) {
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
