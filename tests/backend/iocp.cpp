#include "catch.hpp"
#include "support/recorded_winsock.hpp"

#include <coho/backend/concept.hpp>
#include <coho/backend/iocp.hpp>

#include <array>
#include <deque>
#include <vector>

namespace {

using coho::errc;
using coho::started;
using kernel = coho::basic_iocp<support::recorded_winsock>;
namespace number = coho::windows_error;

static_assert(coho::backend<kernel>);

/// A request with all that it needs to be started, for once.
template <class Request>
struct trial {
    Request asked;
    coho::operation operation{};
    kernel::state<Request> state{};

    started start(kernel& on) { return on.start<Request>(operation, state, asked); }
    void cancel(kernel& on) { on.cancel<Request>(operation, state); }
    errc reason() const {
        return coho::describe_winsock(static_cast<int>(-operation.outcome)).reason();
    }
};

/// How many operations the port hands back now.
int handed_back(kernel& by, coho::deadline until = coho::long_ago) {
    coho::operation_queue completed;
    by.wait(until, completed);
    int count = 0;
    for (; !completed.empty(); completed.pop()) ++count;
    return count;
}

/// A pool, and the loop that it belongs to, which never runs.
struct pool_of_one : coho::event_loop {
    pool_of_one() : event_loop([](event_loop&) noexcept {}, nullptr) {}
    ~pool_of_one() { end_posting(); }

    coho::buffer_pool buffers{*this, {.count = 1, .size = 100}};
};

constexpr coho::handle own_socket{7};
std::array<std::byte, 100> memory;

}  // namespace

TEST_CASE("H36: Windows' numbers mean the same as those of other systems", "[iocp][H36]") {
    struct row {
        int number;
        errc reason;
    };
    for (const auto& [number, reason] : std::vector<row>{
             {64, errc::connection_reset},     {10054, errc::connection_reset},
             {10058, errc::connection_reset},  {1236, errc::connection_aborted},
             {10053, errc::connection_aborted}, {1225, errc::connection_refused},
             {1234, errc::connection_refused}, {10061, errc::connection_refused},
             {121, errc::timed_out},           {10060, errc::timed_out},
             {995, errc::cancelled},           {676, errc::cancelled},
             {234, errc::message_too_large},   {10040, errc::message_too_large},
             {10048, errc::address_in_use},    {10049, errc::address_not_available},
             {10013, errc::permission_denied}, {10024, errc::too_many_descriptors},
             {10055, errc::not_enough_memory}, {1231, errc::network_unreachable},
             {10051, errc::network_unreachable}, {1232, errc::host_unreachable},
             {10065, errc::host_unreachable},  {10057, errc::not_connected},
             {10056, errc::already_connected}, {10042, errc::not_supported},
             {10038, errc::closed},            {10022, errc::invalid_argument},
             {31, errc::other},                {0, errc::none}}) {
        CAPTURE(number);
        CHECK(coho::describe_winsock(number).reason() == reason);
        CHECK(coho::describe_winsock(number).number() == number);
    }
}

TEST_CASE("H36: what befell one connection does not end a listener, want makes it pause",
          "[iocp][H36][H26]") {
    for (const int each : {64, 121, 1236, 10050, 10052, 10053, 10054, 10060}) {
        CHECK(coho::winsock_accept_advice(each) == coho::accept_advice::go_on);
    }
    for (const int each : {8, 1450, 10024, 10055}) {
        CHECK(coho::winsock_accept_advice(each) == coho::accept_advice::back_off);
    }
    for (const int each : {995, 10022, 10038}) {
        CHECK(coho::winsock_accept_advice(each) == coho::accept_advice::give_up);
    }
}

TEST_CASE("H35: connect binds a socket that is not bound, and no other", "[iocp][H35]") {
    kernel unbound;
    trial<coho::request::connect> first{{own_socket, coho::endpoint::loopback(80)}};
    REQUIRE(first.start(unbound) == started::pending);
    CHECK(unbound.asked ==
          std::vector<std::string>{"start_up", "bind", "connect"});
    CHECK(unbound.bound == coho::endpoint(coho::ip_address::any(coho::address_family::ipv4), 0));

    kernel bound;
    bound.bound = coho::endpoint::loopback(1234);
    trial<coho::request::connect> second{{own_socket, coho::endpoint::loopback(80)}};
    REQUIRE(second.start(bound) == started::pending);
    CHECK(bound.count("bind") == 0);
}

TEST_CASE("H37: a connected socket is told so, and a failure of that is an aborted connection",
          "[iocp][H37]") {
    kernel by;
    trial<coho::request::connect> first{{own_socket, coho::endpoint::loopback(80)}};
    REQUIRE(first.start(by) == started::pending);
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(first.operation.outcome == 0);
    CHECK(by.count("update_connected") == 1);

    by.answers["update_connected"] = {{10057}};
    trial<coho::request::connect> second{{own_socket, coho::endpoint::loopback(80)}};
    REQUIRE(second.start(by) == started::pending);
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(second.reason() == errc::connection_aborted);

    trial<coho::request::connect> refused{{own_socket, coho::endpoint::loopback(80)}};
    REQUIRE(refused.start(by) == started::pending);
    by.complete({number::connection_refused, 0});
    CHECK(handed_back(by) == 1);
    CHECK(refused.reason() == errc::connection_refused);
    CHECK(by.count("update_connected") == 2);
}

TEST_CASE("H37: an accepted socket is told of its listener before it joins the port",
          "[iocp][H37]") {
    kernel by;
    trial<coho::request::accept> waiting{{own_socket}};
    REQUIRE(waiting.start(by) == started::pending);
    by.asked.clear();
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(waiting.operation.outcome == 100);
    CHECK(by.asked == std::vector<std::string>{"update_accepted", "associate, skipping"});

    // A connection that broke meanwhile is closed, and the listener goes on.
    by.answers["update_accepted"] = {{10057}};
    REQUIRE(waiting.start(by) == started::pending);
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(waiting.reason() == errc::connection_aborted);
    CHECK(by.count("close") == 1);
    by.retire(waiting.state);
}

TEST_CASE("H38: what succeeds at once skips the port where all providers allow it, and only there",
          "[iocp][H38]") {
    const support::recorded_winsock::answer at_once{0, 5};
    {
        kernel by;
        by.answers["receive"] = {at_once};
        trial<coho::request::receive> reading{{own_socket, memory, false}};
        CHECK(reading.start(by) == started::done);
        CHECK(reading.operation.outcome == 5);
        CHECK(handed_back(by) == 0);
        CHECK(by.open(coho::address_family::ipv4, coho::socket_kind::stream) == 100);
        CHECK(by.asked.back() == "associate, skipping");
    }
    support::recorded_winsock::skips = false;
    {
        kernel by;
        by.answers["receive"] = {at_once};
        trial<coho::request::receive> reading{{own_socket, memory, false}};
        CHECK(reading.start(by) == started::pending);
        by.complete(at_once);
        CHECK(handed_back(by) == 1);
        CHECK(reading.operation.outcome == 5);
        CHECK(by.open(coho::address_family::ipv4, coho::socket_kind::stream) == 100);
        CHECK(by.asked.back() == "associate");
    }
    support::recorded_winsock::skips = true;
}

TEST_CASE("H38: a socket that refuses to skip is refused, and closed", "[iocp][H38]") {
    kernel by;
    by.answers["associate, skipping"] = {{number::invalid_parameter}};
    CHECK(by.open(coho::address_family::ipv4, coho::socket_kind::stream) ==
          -number::invalid_parameter);
    CHECK(by.count("close") == 1);
}

TEST_CASE("H39: a cancel asks once, and the operation stays the port's until it is handed back",
          "[iocp][H39][H1]") {
    kernel by;
    trial<coho::request::receive> reading{{own_socket, memory, false}};
    REQUIRE(reading.start(by) == started::pending);
    reading.cancel(by);
    CHECK(by.count("cancel") == 1);
    CHECK(handed_back(by) == 0);
    by.complete({number::operation_aborted, 0});
    CHECK(handed_back(by) == 1);
    CHECK(reading.reason() == errc::cancelled);
}

TEST_CASE("H39: operations that a cancel does not find are cancelled until found, or here",
          "[iocp][H39]") {
    const support::recorded_winsock::answer not_found{number::not_found};
    kernel by;
    by.answers["cancel"] = std::deque(100, not_found);
    trial<coho::request::receive> first{{own_socket, memory, false}};
    trial<coho::request::receive> second{{own_socket, memory, false}};
    REQUIRE(first.start(by) == started::pending);
    REQUIRE(second.start(by) == started::pending);
    first.cancel(by);
    second.cancel(by);
    SECTION("until found") {
        CHECK(handed_back(by, coho::never) == 0);
        CHECK(by.count("cancel") == 4);
        // Not for ever, and not without a pause.
        CHECK(by.last_wait == 1);
        by.answers.clear();
        CHECK(handed_back(by, coho::never) == 0);
        CHECK(by.count("cancel") == 6);
        CHECK(by.last_wait > 1);
        by.complete({number::operation_aborted, 0});
        by.complete({number::operation_aborted, 0});
        CHECK(handed_back(by) == 2);
        CHECK(first.reason() == errc::cancelled);
        CHECK(second.reason() == errc::cancelled);
    }
    SECTION("or here") {
        by.complete({0, 42});
        CHECK(handed_back(by, coho::never) == 1);
        CHECK(first.operation.outcome == 42);
        by.complete({0, 43});
        CHECK(handed_back(by, coho::never) == 1);
        CHECK(second.operation.outcome == 43);
        const auto asked = by.count("cancel");
        CHECK(handed_back(by, coho::never) == 0);
        CHECK(by.count("cancel") == asked);
        CHECK(by.last_wait > 1);
    }
}

TEST_CASE("H2: bytes that came before the cancel are a success", "[iocp][H2]") {
    kernel by;
    trial<coho::request::receive> reading{{own_socket, memory, false}};
    REQUIRE(reading.start(by) == started::pending);
    reading.cancel(by);
    by.complete({0, 42});
    CHECK(handed_back(by) == 1);
    CHECK(reading.operation.outcome == 42);
}

TEST_CASE("H17: a whole send goes on until all bytes have moved, at once or later",
          "[iocp][H17]") {
    kernel by;
    by.answers["send"] = {{0, 10}, {number::io_pending}, {0, 20}};
    trial<coho::request::send> sending{{own_socket, memory, true}};
    REQUIRE(sending.start(by) == started::pending);
    by.complete({0, 30});
    CHECK(handed_back(by) == 0);
    by.complete({0, 40});
    CHECK(handed_back(by) == 1);
    CHECK(sending.operation.outcome == 100);
    CHECK(by.sizes_sent == std::vector<std::size_t>{100, 90, 60, 40});
}

TEST_CASE("H2: a whole send that is cancelled sends no more of it", "[iocp][H2]") {
    kernel by;
    trial<coho::request::send> sending{{own_socket, memory, true}};
    REQUIRE(sending.start(by) == started::pending);
    sending.cancel(by);
    by.complete({0, 30});
    CHECK(handed_back(by) == 1);
    CHECK(sending.reason() == errc::cancelled);
    CHECK(by.count("send") == 1);
}

TEST_CASE("H17: a file goes on until all of it has moved, a call for each 2 GiB at most",
          "[iocp][H17][files]") {
    constexpr std::uint64_t most = 0x7ffffffe, size = 5'000'000'000;
    using parts = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
    kernel by;
    by.size_of_files = size;
    by.answers["send_file"] = {{0, 100}};
    trial<coho::request::send_file> sending{{own_socket, own_socket, 10, ~std::uint64_t(0)}};
    REQUIRE(sending.start(by) == started::pending);
    by.complete({0, most});
    CHECK(handed_back(by) == 0);
    by.complete({0, most});
    CHECK(handed_back(by) == 0);
    const auto sent = 100 + 2 * most;
    by.complete({0, size - 10 - sent});
    CHECK(handed_back(by) == 1);
    CHECK(sending.operation.outcome == size - 10);
    CHECK(by.parts_sent == parts{{10, most},
                                 {110, most},
                                 {110 + most, most},
                                 {10 + sent, size - 10 - sent}});
}

TEST_CASE("a file is asked for no more than it has", "[iocp][files]") {
    using parts = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
    kernel by;
    by.size_of_files = 100;
    trial<coho::request::send_file> beyond{{own_socket, own_socket, 100, 5}};
    CHECK(beyond.start(by) == started::done);
    CHECK(beyond.operation.outcome == 0);
    trial<coho::request::send_file> shorter{{own_socket, own_socket, 60, 50}};
    REQUIRE(shorter.start(by) == started::pending);
    by.complete({0, 40});
    CHECK(handed_back(by) == 1);
    CHECK(shorter.operation.outcome == 40);
    CHECK(by.parts_sent == parts{{60, 40}});
}

TEST_CASE("H2: a file that is cancelled sends no more of it", "[iocp][H2][files]") {
    kernel by;
    by.size_of_files = 100;
    trial<coho::request::send_file> sending{{own_socket, own_socket, 0, 100}};
    REQUIRE(sending.start(by) == started::pending);
    sending.cancel(by);
    CHECK(by.count("cancel") == 1);
    CHECK(handed_back(by) == 0);
    by.complete({0, 30});
    CHECK(handed_back(by) == 1);
    CHECK(sending.reason() == errc::cancelled);
    CHECK(by.count("send_file") == 1);
}

TEST_CASE("H3: a connection accepted after the cancel is the next one's, or closed with the listener",
          "[iocp][H3]") {
    kernel by;
    trial<coho::request::accept> waiting{{own_socket}};
    REQUIRE(waiting.start(by) == started::pending);
    waiting.cancel(by);
    CHECK(handed_back(by) == 1);
    CHECK(waiting.reason() == errc::cancelled);
    by.complete({0, 0});
    CHECK(handed_back(by) == 0);
    CHECK(waiting.start(by) == started::done);
    CHECK(waiting.operation.outcome == 100);

    REQUIRE(waiting.start(by) == started::pending);
    waiting.cancel(by);
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(by.count("close") == 0);
    by.retire(waiting.state);
    CHECK(by.count("close") == 1);
}

TEST_CASE("H7: a listener is retired once the port has handed its accept back",
          "[iocp][H7][H39]") {
    const bool found = GENERATE(true, false);
    kernel by;
    if (!found) by.answers["cancel"] = {{number::not_found}, {number::not_found}};
    trial<coho::request::accept> waiting{{own_socket}};
    REQUIRE(waiting.start(by) == started::pending);
    by.complete({number::operation_aborted, 0});
    by.retire(waiting.state);
    const std::size_t asked = found ? 1 : 2;
    CHECK(by.count("cancel") == asked);
    CHECK(handed_back(by) == 1);
    CHECK(waiting.reason() == errc::cancelled);
    // What accepted for it is gone, and is not asked for.
    CHECK(by.count("cancel") == asked);
    // The socket that was to be the next connection.
    CHECK(by.count("close") == 1);
}

TEST_CASE("H40: where accepting cannot begin, the listener hears of it and the next try begins anew",
          "[iocp][H40]") {
    kernel by;
    by.answers["open"] = {{number::too_many_files}, {number::too_many_files}};
    by.answers["accept"] = {{number::no_buffers}};
    trial<coho::request::accept> waiting{{own_socket}};
    for (const auto reason :
         {errc::too_many_descriptors, errc::too_many_descriptors, errc::not_enough_memory}) {
        CHECK(waiting.start(by) == started::done);
        CHECK(waiting.reason() == reason);
        CHECK(coho::winsock_accept_advice(static_cast<int>(-waiting.operation.outcome)) ==
              coho::accept_advice::back_off);
    }
    // The socket made for the one that could not begin is not kept.
    CHECK(by.count("close") == 1);
    REQUIRE(waiting.start(by) == started::pending);
    by.complete({0, 0});
    CHECK(handed_back(by) == 1);
    CHECK(waiting.operation.outcome > 0);
    by.retire(waiting.state);
}

TEST_CASE("a datagram that was cut is received, and says so", "[iocp]") {
    for (const int cut : {number::message_size, number::more_data}) {
        kernel by;
        trial<coho::request::receive_from> receiving{{own_socket, memory, {}, false}};
        REQUIRE(receiving.start(by) == started::pending);
        by.complete({cut, 0});
        CHECK(handed_back(by) == 1);
        CHECK(receiving.operation.outcome == 100);
        CHECK(receiving.asked.truncated);
    }
}

TEMPLATE_TEST_CASE("H14: a receive looks without a buffer, and takes one for what is there",
                   "[iocp][H14]", coho::request::receive_leased,
                   coho::request::receive_from_leased) {
    constexpr bool of_datagrams =
        std::is_same_v<TestType, coho::request::receive_from_leased>;
    const std::string look = of_datagrams ? "look" : "receive";
    pool_of_one its;
    kernel by;
    trial<TestType> receiving{{own_socket, &its.buffers}};
    REQUIRE(receiving.start(by) == started::pending);
    CHECK(by.asked.back() == look);
    CHECK(its.buffers.leased() == 0);
    // Of a datagram that it has no room for the system says that it is cut.
    by.complete({of_datagrams ? number::message_size : 0, 0});
    CHECK(handed_back(by) == 0);
    CHECK(by.asked.back() == (of_datagrams ? "receive_from" : "receive"));
    CHECK(its.buffers.leased() == 1);
    by.complete({0, 42});
    CHECK(handed_back(by) == 1);
    CHECK(receiving.operation.outcome == 42);
    {
        const auto held = receiving.state.take_held();
        CHECK(held.bytes().size() == 42);
    }
    CHECK(its.buffers.leased() == 0);

    // One that fails takes none, or gives it back.
    for (const bool looking : {true, false}) {
        REQUIRE(receiving.start(by) == started::pending);
        if (!looking) by.complete({0, 0});
        if (!looking) CHECK(handed_back(by) == 0);
        by.complete({number::connection_reset, 0});
        CHECK(handed_back(by) == 1);
        CHECK(receiving.reason() == errc::connection_reset);
        CHECK(its.buffers.leased() == 0);
    }
}

TEMPLATE_TEST_CASE("H14: a receive that is cancelled waits for a buffer no more",
                   "[iocp][H14][H2]", coho::request::receive_leased,
                   coho::request::receive_from_leased) {
    pool_of_one its;
    kernel by;
    auto held = its.buffers.try_take();
    // Before the port hands back that something is there, after it, and once there is a buffer.
    for (const int when : {0, 1, 2}) {
        trial<TestType> receiving{{own_socket, &its.buffers}};
        REQUIRE(receiving.start(by) == started::pending);
        if (when == 0) receiving.cancel(by);
        by.complete({0, 0});
        CHECK(handed_back(by) == (when == 0 ? 1 : 0));
        CHECK(its.buffers.waiting() == (when == 0 ? 0u : 1u));
        if (when == 2) held.reset();
        if (when > 0) {
            receiving.cancel(by);
            CHECK(handed_back(by) == 1);
        }
        CHECK(receiving.reason() == errc::cancelled);
        CHECK(its.buffers.waiting() == 0);
    }
    CHECK(its.buffers.leased() == 0);
    CHECK(by.count("cancel") == 1);
}

TEST_CASE("a leased datagram may be empty, or cut", "[iocp]") {
    pool_of_one its;
    kernel by;
    trial<coho::request::receive_from_leased> receiving{{own_socket, &its.buffers}};
    for (const int outcome : {0, number::message_size}) {
        REQUIRE(receiving.start(by) == started::pending);
        by.complete({outcome, 0});
        CHECK(handed_back(by) == 0);
        by.complete({outcome, 0});
        CHECK(handed_back(by) == 1);
        const auto held = receiving.state.take_held();
        REQUIRE(held);
        CHECK(held.bytes().size() == (outcome ? 100u : 0u));
        CHECK(receiving.asked.truncated == (outcome != 0));
    }
}

TEST_CASE("datagrams in batches are not supported, and the system is not asked for them",
          "[iocp][batches]") {
    kernel by;
    CHECK(kernel::describe(by.batch_datagrams(own_socket)) == errc::not_supported);
    trial<coho::request::send_to> sending{{own_socket, memory, {}, 50}};
    CHECK(sending.start(by) == started::done);
    CHECK(sending.reason() == errc::not_supported);
    CHECK(by.count("send_to") == 0);
}

TEST_CASE("a wake is an entry without an operation", "[iocp]") {
    kernel by;
    by.wake();
    CHECK(handed_back(by) == 0);
}
