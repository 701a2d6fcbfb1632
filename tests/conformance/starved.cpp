// A listener that lacks descriptors.

#include "support/child_process.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <vector>

#include <sys/resource.h>

using namespace std::chrono_literals;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

/// The number that the next descriptor gets.
rlim_t next_number() {
    const int lowest = support::checked(::dup(0));
    ::close(lowest);
    return static_cast<rlim_t>(lowest);
}
void allow_numbers_below(rlim_t end) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = end;
    support::checked(::setrlimit(RLIMIT_NOFILE, &limit));
}

/// 0, or the line of what was not so.
template <class Backend>
task<int> starve_and_recover() {
    std::vector<support::raw_socket> clients;
    std::vector<coho::basic_tcp_stream<Backend>> served;
    auto listener =
        coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    for (int i = 0; i < 6; ++i) {
        clients.push_back(support::raw_socket::connected_to(listener.local_endpoint()));
    }
    allow_numbers_below(next_number() + 3);
    for (int i = 0; i < 3; ++i) {
        auto accepted = co_await listener.accept();
        if (!accepted) co_return __LINE__;
        served.push_back(std::move(*accepted));
    }

    constexpr auto starving = 400ms;
    auto starved = co_await coho::timeout(starving, listener.accept());
    if (reason_of(starved) != errc::timed_out) co_return __LINE__;
    // The pauses begin with ten milliseconds: a slow machine makes fewer attempts, never more.
    const auto attempts = static_cast<long>(listener.statistics().starved);
    if (attempts < 1 || attempts > starving / 10ms) co_return __LINE__;
    if (listener.statistics().skipped != 0) co_return __LINE__;

    // Each that goes makes room for one that waits, and no client is lost.
    for (std::size_t i = 0; i < 3; ++i) {
        co_await served[i].close();
        auto accepted = co_await listener.accept();
        if (!accepted) co_return __LINE__;
        clients[3 + i].send("served");
        const auto text = co_await support::receive_text(*accepted, 6);
        if (text != "served") co_return __LINE__;
        served[i] = std::move(*accepted);
    }
    co_return 0;
}

/// 0, or the line of what was not so. Clients come while one may be accepted and nobody asks for
/// more; those that found no descriptor then are accepted once there are some.
template <class Backend>
task<int> starve_unasked() {
    constexpr std::size_t clients = 8;
    std::vector<coho::basic_tcp_stream<Backend>> served;
    auto listener =
        coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    std::vector<support::raw_socket> waiting;
    for (std::size_t i = 0; i < clients; ++i) {
        waiting.push_back(support::raw_socket::connected_to(listener.local_endpoint()));
    }
    const auto first = next_number();
    allow_numbers_below(first + 3);
    for (std::size_t i = 0; i < clients; ++i) {
        if (i == 1) {
            co_await support::let_turns_pass();
            allow_numbers_below(first + 100);
        }
        auto accepted = co_await coho::timeout(10s, listener.accept());
        if (!accepted) co_return __LINE__;
        waiting[i].send(std::to_string(i));
        const auto text = co_await support::receive_text(*accepted, 1);
        if (text != std::to_string(i)) co_return __LINE__;
        served.push_back(std::move(*accepted));
    }
    co_return 0;
}

template <class Function>
void check_in_child(Function program) {
    const auto end = support::run_in_child([&] {
        const int line = program();
        if (line != 0) std::fprintf(stderr, "line %d is not so", line);
        return line != 0;
    });
    CHECK(end.errors == "");
    CHECK(end.status == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("H12: accepting that ended for want of descriptors begins again, each time",
                   "[conformance][H12]", COHO_TEST_REAL_KERNELS) {
    check_in_child([] {
        coho::scheduler<TestType> loop;
        int line = 0;
        for (int round = 0; round < 5 && line == 0; ++round) {
            line = loop.run(starve_unasked<TestType>);
        }
        return line;
    });
}

TEMPLATE_TEST_CASE("H25: a listener without descriptors waits, with few attempts, and recovers",
                   "[conformance][H25]", COHO_TEST_REAL_KERNELS) {
    check_in_child([] {
        coho::scheduler<TestType> loop;
        return loop.run(starve_and_recover<TestType>);
    });
}
