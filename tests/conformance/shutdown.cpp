#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <vector>

using namespace std::chrono_literals;
using coho::endpoint;
using coho::errc;
using coho::task;

namespace {

template <class Backend>
task<> receive_until_cancelled(int* handed_back) {
    auto socket = coho::basic_udp_socket<Backend>::bind(endpoint::loopback(0)).value();
    std::array<std::byte, 16> buffer;
    auto received = co_await socket.receive_from(buffer);
    if (support::reason_of(received) == errc::cancelled) ++*handed_back;
}

}  // namespace

TEMPLATE_TEST_CASE("H7 H16: a run may end right after so many operations were asked to stop",
                   "[conformance][shutdown][H7][H16]", COHO_TEST_KERNELS) {
    support::allow_many_descriptors();
    for (const int operations : {0, 1, 1'000}) {
        // Asked before the kernel has seen them, or after.
        for (const int turns : {0, 3}) {
            int handed_back = 0;
            support::run_on<TestType>([&]() -> task<> {
                coho::task_group group;
                for (int i = 0; i < operations; ++i) {
                    co_await group.spawn(receive_until_cancelled<TestType>, &handed_back);
                }
                for (int turn = 0; turn < turns; ++turn) co_await coho::yield();
                group.request_stop();
                co_await group.join();
            });
            CHECK(handed_back == operations);
        }
    }
}

TEMPLATE_TEST_CASE("H7: a scheduler that is asked to stop ends, with all handed back",
                   "[conformance][shutdown][H7]", COHO_TEST_KERNELS) {
    support::allow_many_descriptors();
    int handed_back = 0;
    support::run_on<TestType>([&]() -> task<> {
        coho::task_group group;
        for (int i = 0; i < 1'000; ++i) {
            co_await group.spawn(receive_until_cancelled<TestType>, &handed_back);
        }
        coho::event_loop::current()->request_stop();
        co_await group.join();
    });
    CHECK(handed_back == 1'000);
}

TEMPLATE_TEST_CASE("H7: every kind of operation is handed back when it is stopped",
                   "[conformance][shutdown][H7]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto reading = co_await support::accept_peer<TestType>();
        auto writing = co_await support::accept_peer<TestType>();
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        std::string text;
        std::array<std::byte, 16> buffer, other;
        const std::array<std::span<std::byte>, 1> pieces{other};
        const auto bytes = support::counting_bytes(32 << 20);
        const auto all = coho::as_bytes(bytes);
        auto vectored = co_await support::accept_peer<TestType>();
        auto exact = co_await support::accept_peer<TestType>();
        auto stopped = [](const auto& outcome) {
            return support::reason_of(outcome) == errc::timed_out;
        };
        auto everything = coho::when_all(
            reading.stream.read_until(text, "\n", 100), reading.stream.write_all(all, all),
            writing.stream.read_some(buffer), writing.stream.write_all(all),
            vectored.stream.read_some(std::span<const std::span<std::byte>>(pieces)),
            exact.stream.read_exactly(buffer), listener.accept());
        auto outcomes = co_await coho::deadline_in(20ms, std::move(everything));
        std::apply([&](const auto&... each) { CHECK((stopped(each) && ...)); }, outcomes);
    });
}
