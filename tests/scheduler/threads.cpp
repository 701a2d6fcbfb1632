#include "support/kernels.hpp"
#include "support/system.hpp"
#include "support/world.hpp"

#include <array>
#include <atomic>
#include <thread>

using namespace std::chrono_literals;

namespace {

/// Sleeps, and sends a datagram to itself: a timer and the kernel.
template <class Backend>
coho::task<int> live_a_little() {
    std::array<std::byte, 8> buffer{};
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    auto sent = co_await socket.send_to(buffer, socket.local_endpoint());
    auto received = co_await socket.receive_from(buffer);
    const bool slept = co_await coho::sleep(1us);
    co_return sent && received && slept ? 0 : 1;
}

/// What two threads hand to and fro by messages alone.
struct shared_count {
    int value = 0;
};

/// Adds one to it and says so, once it was told that it may.
template <class Backend>
coho::task<int> answer_one(coho::endpoint where, shared_count& count) {
    std::array<std::byte, 1> message{};
    auto stream = co_await coho::connect<Backend>(where);
    if (!stream) co_return 1;
    auto asked = co_await stream->read_exactly(message);
    ++count.value;
    auto answered = co_await stream->write_all(message);
    co_return asked && answered ? 0 : 1;
}
template <class Backend>
coho::task<int> ask_one() {
    std::array<std::byte, 1> message{};
    shared_count count;
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    std::atomic<int> failures = 0;
    std::thread other([&, where = listener.local_endpoint()] {
        coho::scheduler<Backend> own;
        failures += own.run(answer_one<Backend>, where, count);
    });
    auto stream = co_await listener.accept();
    bool right = bool(stream);
    if (stream) {
        count.value = 41;
        auto asked = co_await stream->write_all(message);
        auto answered = co_await stream->read_exactly(message);
        right = asked && answered && count.value == 42;
    }
    other.join();
    co_return right && failures == 0 ? 0 : 1;
}

}  // namespace

TEMPLATE_TEST_CASE("a message orders what two threads do before and after it", "[threads]",
                   COHO_TEST_REAL_KERNELS) {
    coho::scheduler<TestType> own;
    CHECK(own.run(ask_one<TestType>) == 0);
}

TEMPLATE_TEST_CASE("H33: threads come and go by the thousand, each with a scheduler of its own",
                   "[threads][H33]", COHO_TEST_REAL_KERNELS) {
    constexpr int generations = 250;
    const auto before = support::open_descriptors();
    std::atomic<int> failures = 0;
    for (int generation = 0; generation < generations; ++generation) {
        std::array<std::thread, 4> threads;
        for (auto& each : threads) {
            each = std::thread([&failures] {
                if (coho::event_loop::current()) ++failures;
                {
                    coho::scheduler<TestType> own;
                    if (own.run(live_a_little<TestType>) != 0) ++failures;
                    if (own.frames().live() != 0) ++failures;
                }
                if (coho::event_loop::current()) ++failures;
            });
        }
        for (auto& each : threads) each.join();
    }
    CHECK(failures == 0);
    // Not one for each thread; ThreadSanitizer opens some of its own when it looks names up.
    CHECK(support::open_descriptors() < before + generations / 10);
}
