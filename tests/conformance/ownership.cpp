#include "support/child_process.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <coroutine>
#include <optional>

using coho::as_bytes;
using coho::task;

namespace {

/// How a process ends in which a task does this with a stream whose peer is silent.
template <class Backend, class Mistake>
support::child_end end_of(Mistake mistake) {
    return support::run_in_child([&] {
        return coho::run<Backend>([&]() -> task<> {
            auto link = co_await support::accept_peer<Backend>();
            co_await mistake(link.stream);
        });
    });
}

template <class Stream>
task<> read_into(Stream* stream, std::byte* place) {
    (void)co_await stream->read_some(std::span(place, 1));
}

}  // namespace

TEMPLATE_TEST_CASE("ownership: two readers on one stream end the process with a sentence",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        co_await coho::when_all(read_into(&stream, &buffer[0]), read_into(&stream, &buffer[1]));
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("two tasks read from one socket at once"));
}

TEMPLATE_TEST_CASE("ownership: two writers on one stream end the process with a sentence",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        const auto bytes = support::counting_bytes(32 << 20);
        co_await coho::when_all(stream.write_all(as_bytes(bytes)),
                                stream.write_all(as_bytes(bytes)));
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("or two write; let one do it"));
}

TEMPLATE_TEST_CASE("ownership: a stream that is moved while in use ends the process",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        coho::task_group group;
        co_await group.spawn(read_into<coho::basic_tcp_stream<TestType>>, &stream, &buffer[0]);
        const auto moved = std::move(stream);
        co_await group.join();
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a socket was moved or destroyed while a task waits on it"));
}

TEMPLATE_TEST_CASE("ownership: a stream that is destroyed while in use ends the process",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        coho::task_group group;
        std::optional doomed(std::move(stream));
        co_await group.spawn(read_into<coho::basic_tcp_stream<TestType>>, &*doomed, &buffer[0]);
        doomed.reset();
        co_await group.join();
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a socket was moved or destroyed while a task waits on it"));
}

TEMPLATE_TEST_CASE("H1: an operation that is destroyed in flight ends the process",
                   "[conformance][ownership][H1]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        auto& inherited = co_await coho::inherited();
        auto reading = stream.read_some(buffer);
        (void)reading.start(inherited, std::noop_coroutine());
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("destroyed while the kernel works for it"));
}

TEMPLATE_TEST_CASE("H1: a coroutine that is destroyed in flight ends the process",
                   "[conformance][ownership][H1]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        auto& inherited = co_await coho::inherited();
        auto reading = read_into(&stream, &buffer[0]);
        (void)reading.start(inherited, std::noop_coroutine());
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("destroyed"));
}

TEMPLATE_TEST_CASE("ownership: a group left with children in flight ends the process",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        coho::task_group group;
        co_await group.spawn(read_into<coho::basic_tcp_stream<TestType>>, &stream, &buffer[0]);
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a task_group was destroyed while children of it run"));
}

TEMPLATE_TEST_CASE("ownership: a stream in a task of another scheduler ends the process",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = end_of<TestType>([](auto& stream) -> task<> {
        std::array<std::byte, 16> buffer;
        coho::scheduler<TestType> other;
        other.run([&]() -> task<> { co_await read_into(&stream, &buffer[0]); });
        co_return;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a socket was used in a task of another scheduler"));
}

TEMPLATE_TEST_CASE("ownership: a socket made outside of run() ends the process",
                   "[conformance][ownership]", COHO_TEST_KERNELS) {
    const auto end = support::run_in_child([] {
        return coho::basic_udp_socket<TestType>::bind(coho::endpoint::loopback(0)) ? 0 : 1;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("a socket was made outside of run()"));
}
