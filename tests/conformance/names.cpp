#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <atomic>
#include <cstring>
#include <thread>

#include <dlfcn.h>
#include <netdb.h>

using namespace std::chrono_literals;
using coho::address_family;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::message_of;
using support::reason_of;

namespace {

/// While it is shut, looking up "slow.test" takes for ever.
std::atomic<bool> gate_is_shut = false;

using look_up_function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

}  // namespace

/// Stands before the system's resolver, so that these cases ask no name server.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) {
    static const auto system =
        reinterpret_cast<look_up_function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (std::strcmp(host, "unknown.test") == 0) return EAI_NONAME;
    if (std::strcmp(host, "silent.test") == 0) return EAI_AGAIN;
    if (std::strcmp(host, "slow.test") == 0) {
        gate_is_shut.wait(true);
        return EAI_NONAME;
    }
    if (std::strcmp(host, "two.test") != 0) return system(host, service, hints, found);
    // ::1 first, then 127.0.0.1: two lists of one, made into one of two.
    addrinfo streams{};
    streams.ai_socktype = SOCK_STREAM;
    const int failed = system("::1", service, &streams, found);
    return failed ? failed : system("127.0.0.1", service, &streams, &(*found)->ai_next);
}

namespace {

/// The threads of look-ups that were left by their callers hold descriptors until they end.
template <class Backend, class Function>
void run_with_names(Function function) {
    support::run_on<Backend>([&]() -> task<> {
        co_await function();
        gate_is_shut = false;
        gate_is_shut.notify_all();
        while (coho::name_lookup::under_way > 0) co_await coho::sleep(1ms);
    });
}

}  // namespace

TEMPLATE_TEST_CASE("names: connect by name", "[conformance][names]", COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::any(0)).value();
        const auto port = listener.local_endpoint().port();
        auto client = co_await coho::connect<TestType>("localhost", port);
        REQUIRE(reason_of(client) == errc::none);
        CHECK(client->remote_endpoint().port() == port);
        CHECK(client->remote_endpoint().address().is_loopback());
    });
}

TEMPLATE_TEST_CASE("names: an address in text form needs no look-up", "[conformance][names]",
                   COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::any(0)).value();
        const auto port = listener.local_endpoint().port();
        for (const auto* host : {"127.0.0.1", "::1"}) {
            auto client = co_await coho::connect<TestType>(host, port);
            REQUIRE(reason_of(client) == errc::none);
            CHECK(to_string(client->remote_endpoint().address()) == host);
        }
    });
}

TEMPLATE_TEST_CASE("names: the next address is tried where the first refuses",
                   "[conformance][names]", COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const auto port = listener.local_endpoint().port();
        auto client = co_await coho::connect<TestType>("two.test", port);
        REQUIRE(reason_of(client) == errc::none);
        CHECK(client->remote_endpoint() == endpoint::loopback(port));
        co_await listener.close();
        auto refused = co_await coho::connect<TestType>("two.test", port);
        CHECK(reason_of(refused) == errc::connection_refused);
        CHECK(message_of(refused).find("cannot connect to 127.0.0.1:") == 0);
    });
}

TEMPLATE_TEST_CASE("names: a name that cannot be looked up is in the error",
                   "[conformance][names]", COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        auto unknown = co_await coho::connect<TestType>("unknown.test", 80);
        CHECK(reason_of(unknown) == errc::name_not_found);
        CHECK(message_of(unknown) == "cannot look up \"unknown.test\": no such name is known");
        auto silent = co_await coho::connect<TestType>("silent.test", 80);
        CHECK(reason_of(silent) == errc::name_lookup_failed);
        CHECK(message_of(silent).find("cannot look up \"silent.test\": ") == 0);
        // Not localhost.
        const std::string divided("localhost\0.test", 15);
        auto half = co_await coho::connect<TestType>(divided, 80);
        CHECK(reason_of(half) == errc::name_not_found);
        CHECK(message_of(half) == "cannot look up \"localhost?.test\": no such name is known");
    });
}

TEMPLATE_TEST_CASE("names: a caller who is stopped leaves a look-up that goes on",
                   "[conformance][names]", COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        gate_is_shut = true;
        auto connected = co_await coho::timeout(5ms, coho::connect<TestType>("slow.test", 80));
        CHECK(reason_of(connected) == errc::timed_out);
        CHECK(message_of(connected).find("slow.test") != std::string::npos);
        // The gate is shut still: nobody has waited for the answer.
        CHECK(coho::name_lookup::under_way == 1);
        auto other = co_await coho::connect<TestType>("unknown.test", 80);
        CHECK(reason_of(other) == errc::name_not_found);
    });
}

TEMPLATE_TEST_CASE("names: a caller who was stopped before asks nobody", "[conformance][names]",
                   COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        auto connected = co_await coho::timeout(0s, coho::connect<TestType>("slow.test", 80));
        CHECK(reason_of(connected) == errc::timed_out);
        CHECK(coho::name_lookup::under_way == 0);
    });
}

TEMPLATE_TEST_CASE("names: more look-ups at once than allowed are an error",
                   "[conformance][names]", COHO_TEST_REAL_KERNELS) {
    run_with_names<TestType>([]() -> task<> {
        gate_is_shut = true;
        coho::task_group group;
        auto look_up = []() -> task<> { (void)co_await coho::resolve("slow.test", 80); };
        for (int i = 0; i < coho::name_lookup::most_at_once; ++i) co_await group.spawn(look_up);
        auto one_more = co_await coho::resolve("slow.test", 80);
        CHECK(reason_of(one_more) == errc::limit_exceeded);
        group.request_stop();
        co_await group.join();
    });
}
