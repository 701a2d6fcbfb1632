#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <chrono>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::counting_bytes;
using support::message_of;
using support::reason_of;

namespace {

/// The longest of batches.
constexpr std::size_t longest_batch = 65'535;

template <class Backend>
auto bind_for_batches(endpoint where = endpoint::loopback(0)) {
    auto socket = coho::basic_udp_socket<Backend>::bind(where).value();
    // As much as an unprivileged program may ask of Linux.
    socket.set(coho::receive_buffer_size{212'992}).value();
    return socket;
}

/// The sizes of the next so many datagrams, and their bytes one after another.
struct arrived_datagrams {
    std::vector<std::size_t> sizes;
    std::string bytes;
    std::size_t batches = 0;
};
template <class Batches>
task<arrived_datagrams> receive_datagrams(Batches& batches, std::size_t count) {
    arrived_datagrams arrived;
    std::vector<std::byte> buffer(longest_batch);
    while (arrived.sizes.size() < count) {
        auto batch = co_await batches.receive(buffer);
        if (!batch) break;
        CHECK_FALSE(batch->truncated);
        ++arrived.batches;
        for (const auto datagram : *batch) {
            arrived.sizes.push_back(datagram.size());
            arrived.bytes += coho::as_text(datagram);
        }
    }
    co_return std::move(arrived);
}

std::vector<std::size_t> sizes_of(std::size_t bytes, std::size_t size) {
    std::vector<std::size_t> sizes(bytes / size, size);
    if (bytes % size > 0) sizes.push_back(bytes % size);
    return sizes;
}

/// A kernel that will not divide what is sent, as where the size is above the MTU, or that knows no
/// batches at all.
template <class Kernel>
struct refusing : Kernel {
    using Kernel::Kernel;
    static inline int number = 0;
    static inline bool knows_batches = true;
    static inline int refusals = 0;

    int batch_datagrams(coho::handle socket) noexcept {
        return knows_batches ? Kernel::batch_datagrams(socket) : number;
    }
    template <class Request>
    coho::started start(coho::operation& each, typename Kernel::template state<Request>& state,
                        Request& request) noexcept {
        if constexpr (std::is_same_v<Request, coho::request::send_to>) {
            if (request.size > 0) {
                ++refusals;
                each.outcome = -number;
                return coho::started::done;
            }
        }
        return Kernel::template start<Request>(each, state, request);
    }
};

/// Sends more datagrams than one call takes, on a kernel that refuses, and receives them.
template <class Backend>
task<> send_many_to_itself() {
    auto socket = bind_for_batches<Backend>();
    auto batches = socket.batches();
    const auto bytes = counting_bytes(100 * 200 + 7);
    auto sent = co_await batches.send(as_bytes(bytes), 200, socket.local_endpoint());
    CHECK(reason_of(sent) == errc::none);
    auto arrived = co_await receive_datagrams(batches, 101);
    CHECK((arrived.bytes == bytes));
    CHECK(arrived.sizes == sizes_of(bytes.size(), 200));
}

}  // namespace

TEST_CASE("batches: one knows where each of its datagrams begins", "[conformance][batches]") {
    std::array<std::byte, 10> bytes{};
    const coho::datagram_batch batch{bytes, 4, {}, false};
    REQUIRE(batch.count() == 3);
    CHECK(batch[0].data() == bytes.data());
    CHECK(batch[1].data() == bytes.data() + 4);
    CHECK(batch[2].data() == bytes.data() + 8);
    CHECK(batch[1].size() == 4);
    CHECK(batch[2].size() == 2);
    CHECK(coho::datagram_batch{std::span(bytes).first(8), 4, {}, false}.count() == 2);
    CHECK(coho::datagram_batch{std::span(bytes).first(0), 0, {}, false}.count() == 1);
    // What is left of a first datagram.
    const coho::datagram_batch cut{bytes, 100, {}, true};
    REQUIRE(cut.count() == 1);
    CHECK(cut[0].size() == 10);
}

TEMPLATE_TEST_CASE("H17: a batch goes whole, whatever the size and count of its datagrams",
                   "[conformance][batches][H17]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const endpoint any_v6{coho::ip_address::loopback(coho::address_family::ipv6), 0};
        for (const auto where : {endpoint::loopback(0), any_v6}) {
            auto here = bind_for_batches<TestType>(where);
            auto there = bind_for_batches<TestType>(where);
            auto sending = here.batches();
            auto receiving = there.batches();
            for (const std::size_t size : {1, 200, 1472, 9000}) {
                for (const std::size_t count : {1, 2, 7, 8, 63, 64, 65, 200}) {
                    // What a socket's buffer holds on every system.
                    if (size * count > 100'000) continue;
                    const auto shorter = size > 1 ? size / 2 : 0;
                    for (const auto bytes : {size * count, size * count - shorter}) {
                        INFO(bytes << " bytes in datagrams of " << size);
                        const auto text = counting_bytes(bytes);
                        auto sent = co_await sending.send(as_bytes(text), size,
                                                          there.local_endpoint());
                        REQUIRE(reason_of(sent) == errc::none);
                        auto arrived = co_await receive_datagrams(receiving, count);
                        CHECK((arrived.bytes == text));
                        CHECK(arrived.sizes == sizes_of(bytes, size));
                    }
                }
            }
        }
    });
}

TEMPLATE_TEST_CASE("batches: what is sent at once comes at once where the system joins it",
                   "[conformance][batches]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& kernel = coho::scheduler<TestType>::current().kernel();
        auto here = bind_for_batches<TestType>();
        auto there = bind_for_batches<TestType>();
        auto sending = here.batches();
        auto receiving = there.batches();
        const bool joins = kernel.batch_datagrams(there.native_handle()) == 0;
        const auto text = counting_bytes(50 * 100);
        auto sent = co_await sending.send(as_bytes(text), 100, there.local_endpoint());
        REQUIRE(sent);
        co_await support::let_turns_pass();
        auto arrived = co_await receive_datagrams(receiving, 50);
        CHECK((arrived.bytes == text));
        // A kernel with short transfers joins fewer.
        if (!joins) CHECK(arrived.batches == 50);
        else CHECK(support::is_moved<TestType>(51 - arrived.batches, 50));
    });
}

TEMPLATE_TEST_CASE("batches: tell who sent them, and go with datagrams sent one by one",
                   "[conformance][batches]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = bind_for_batches<TestType>();
        auto receiving = socket.batches();
        const auto where = socket.local_endpoint();
        auto peer = support::peer_of<TestType>::bound(coho::socket_kind::datagram);
        peer.connect(where);
        auto other = bind_for_batches<TestType>();
        auto sending = other.batches();
        std::vector<std::size_t> sizes;
        std::string all;
        const auto from_peer = [&](std::size_t size) {
            const auto text = counting_bytes(size, all.size());
            peer.send(text);
            sizes.push_back(size);
            all += text;
        };
        // Growing, shrinking and equal ones, with batches among them.
        for (const std::size_t size : {100, 101, 99, 99, 99, 50, 1, 1, 500}) from_peer(size);
        const auto batch = counting_bytes(730, all.size());
        auto sent = co_await sending.send(as_bytes(batch), 100, where);
        CHECK(sent);
        for (const auto size : sizes_of(730, 100)) sizes.push_back(size);
        all += batch;
        from_peer(100);
        // It may still be sent one by one from such a socket.
        auto alone = co_await other.send_to(as_bytes("alone"), where);
        CHECK(alone);
        sizes.push_back(5);
        all += "alone";

        std::vector<std::byte> buffer(longest_batch);
        std::vector<std::size_t> arrived;
        std::string bytes;
        while (arrived.size() < sizes.size()) {
            auto received = co_await receiving.receive(buffer);
            REQUIRE(received);
            const auto begin = arrived.size();
            for (const auto datagram : *received) {
                arrived.push_back(datagram.size());
                bytes += coho::as_text(datagram);
            }
            const bool of_peer = begin < 9 || begin == 17;
            const auto from = of_peer ? peer.local_endpoint() : other.local_endpoint();
            CHECK(received->from.port() == from.port());
            // One sender's alone.
            if (begin < 9) CHECK(arrived.size() <= 9);
        }
        CHECK(arrived == sizes);
        CHECK((bytes == all));
    });
}

TEMPLATE_TEST_CASE("batches: an empty datagram is a batch of one, and what was received can be "
                   "sent back as it is",
                   "[conformance][batches]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind_for_batches<TestType>(), there = bind_for_batches<TestType>();
        auto asking = here.batches(), answering = there.batches();
        std::vector<std::byte> buffer(longest_batch);
        for (const std::size_t bytes : {0, 1, 0, 1000}) {
            const auto text = counting_bytes(bytes);
            auto sent = co_await asking.send(as_bytes(text), 10, there.local_endpoint());
            REQUIRE(reason_of(sent) == errc::none);
            for (std::size_t left = bytes + (bytes == 0); left > 0;) {
                auto batch = co_await answering.receive(buffer);
                REQUIRE(batch);
                if (bytes == 0) CHECK(batch->size == 0);
                if (bytes == 0) CHECK(batch->count() == 1);
                auto back = co_await answering.send(batch->bytes, batch->size, batch->from);
                CHECK(reason_of(back) == errc::none);
                left -= batch->bytes.size() + (bytes == 0);
            }
            const auto count = bytes == 0 ? 1 : (bytes + 9) / 10;
            auto answer = co_await receive_datagrams(asking, count);
            CHECK((answer.bytes == text));
            CHECK(answer.sizes.size() == count);
        }
    });
}

TEMPLATE_TEST_CASE("batches: one that does not fit is flagged, and the next is whole",
                   "[conformance][batches]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind_for_batches<TestType>(), there = bind_for_batches<TestType>();
        auto sending = here.batches(), receiving = there.batches();
        std::array<std::byte, 4> small;
        auto long_one = co_await sending.send(as_bytes("longer"), 6, there.local_endpoint());
        CHECK(long_one);
        auto fitting = co_await sending.send(as_bytes("fits"), 4, there.local_endpoint());
        CHECK(fitting);
        auto cut = co_await receiving.receive(small);
        REQUIRE(cut);
        CHECK(cut->truncated);
        CHECK(cut->count() == 1);
        CHECK(coho::as_text((*cut)[0]) == "long");
        CHECK(cut->from == here.local_endpoint());
        auto whole = co_await receiving.receive(small);
        REQUIRE(whole);
        CHECK_FALSE(whole->truncated);
        CHECK(coho::as_text(whole->bytes) == "fits");

        // Of several, those that fit come whole, and the one after them in part at most.
        std::array<std::byte, 10> larger;
        auto several = co_await sending.send(as_bytes("firstafternever"), 5,
                                             there.local_endpoint());
        CHECK(several);
        auto first = co_await receiving.receive(std::span(larger).first(8));
        REQUIRE(first);
        CHECK(coho::as_text((*first)[0]) == "first");
        if (first->count() == 2) {
            CHECK(first->truncated);
            CHECK(coho::as_text((*first)[1]) == "aft");
        }
    });
}

TEMPLATE_TEST_CASE("batches: sizes that no datagram has are refused", "[conformance][batches]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind_for_batches<TestType>(), there = bind_for_batches<TestType>();
        auto sending = here.batches(), receiving = there.batches();
        const auto where = there.local_endpoint();
        auto nothing = co_await sending.send(as_bytes("some"), 0, where);
        CHECK(reason_of(nothing) == errc::invalid_argument);
        const auto bytes = counting_bytes(200'000);
        auto too_large = co_await sending.send(as_bytes(bytes), 65'508, where);
        CHECK(reason_of(too_large) == errc::message_too_large);
        CHECK(message_of(too_large).find("cannot send a datagram to " + to_string(where)) == 0);
        auto far_too_large = co_await sending.send(as_bytes(bytes), std::size_t(-1), where);
        CHECK(reason_of(far_too_large) == errc::message_too_large);
        // A size of which but two, one or none fit into a call together.
        for (const std::size_t size : {32'743, 32'744, 65'507}) {
            const auto text = counting_bytes(size + 100);
            auto sent = co_await sending.send(as_bytes(text), size, where);
            REQUIRE(reason_of(sent) == errc::none);
            auto arrived = co_await receive_datagrams(receiving, 2);
            CHECK((arrived.bytes == text));
            CHECK(arrived.sizes == std::vector<std::size_t>{size, 100});
        }
        // The size may be more than there is.
        auto short_one = co_await sending.send(as_bytes("short"), 60'000, where);
        CHECK(short_one);
        auto arrived = co_await receive_datagrams(receiving, 1);
        CHECK(arrived.bytes == "short");
    });
}

TEMPLATE_TEST_CASE("H17: a batch goes datagram by datagram where the system will not divide it",
                   "[conformance][batches][H17]", COHO_TEST_KERNELS) {
    using kernel = refusing<TestType>;
    kernel::knows_batches = true;
    for (const int number : {EINVAL, EMSGSIZE, EOPNOTSUPP, EIO}) {
        kernel::number = number;
        kernel::refusals = 0;
        support::run_on<kernel>(send_many_to_itself<kernel>);
#ifndef _WIN32
        CHECK(kernel::refusals == 1);
#endif
    }
    kernel::knows_batches = false;
    kernel::refusals = 0;
    support::run_on<kernel>(send_many_to_itself<kernel>);
    CHECK(kernel::refusals == 0);
}

#ifndef _WIN32
TEMPLATE_TEST_CASE("batches: a socket without checksums, which Linux will not divide for, sends",
                   "[conformance][batches]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = bind_for_batches<TestType>();
        const int without = 1;
        support::checked(::setsockopt(support::descriptor_of(socket.native_handle()), SOL_SOCKET,
                                      SO_NO_CHECK, &without, sizeof without));
        auto batches = socket.batches();
        auto sent = co_await batches.send(as_bytes("onetwo"), 3, socket.local_endpoint());
        CHECK(reason_of(sent) == errc::none);
        auto arrived = co_await receive_datagrams(batches, 2);
        CHECK(arrived.bytes == "onetwo");
        CHECK(arrived.sizes == std::vector<std::size_t>{3, 3});
    });
}
#endif

TEMPLATE_TEST_CASE("batches: other errors end a send, and a stop does", "[conformance][batches]",
                   COHO_TEST_KERNELS) {
    using kernel = refusing<TestType>;
    kernel::knows_batches = true;
    kernel::number = ENOBUFS;
    support::run_on<kernel>([]() -> task<> {
        auto socket = bind_for_batches<kernel>();
        auto batches = socket.batches();
        const auto where = socket.local_endpoint();
#ifndef _WIN32
        auto lacking = co_await batches.send(as_bytes("onetwo"), 3, where);
        CHECK(reason_of(lacking) == errc::not_enough_memory);
#endif
        auto late = co_await coho::timeout(0s, batches.send(as_bytes("onetwo"), 3, where));
        CHECK(reason_of(late) == errc::timed_out);
        co_await socket.close();
        auto closed = co_await batches.send(as_bytes("onetwo"), 3, where);
        CHECK(reason_of(closed) == errc::closed);
        auto after_close = socket.batches();
        std::array<std::byte, 1> buffer;
        auto nothing = co_await after_close.receive(buffer);
        CHECK(reason_of(nothing) == errc::closed);
    });
}

TEMPLATE_TEST_CASE("batches: a receive ends by its limit of time, or as the socket is closed",
                   "[conformance][batches]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = bind_for_batches<TestType>();
        auto batches = socket.batches();
        std::array<std::byte, 100> buffer;
        auto late = co_await coho::timeout(1ms, batches.receive(buffer));
        CHECK(reason_of(late) == errc::timed_out);
        auto close = [&]() -> task<> {
            co_await coho::yield();
            co_await socket.close();
        };
        auto [received, closed] = co_await coho::when_all(batches.receive(buffer), close());
        CHECK(reason_of(received) == errc::cancelled);
    });
}

TEMPLATE_TEST_CASE("H2: a receive of a batch that is stopped as it comes loses none",
                   "[conformance][batches][H2]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = bind_for_batches<TestType>(), peer = bind_for_batches<TestType>();
        auto receiving = socket.batches(), sending = peer.batches();
        std::size_t sent = 0, received = 0, stopped = 0;
        auto send = [&]() -> task<> {
            auto gone = co_await sending.send(as_bytes("xxxxx"), 1, socket.local_endpoint());
            sent += gone ? 5 : 0;
        };
        auto receive = [&]() -> task<> {
            std::array<std::byte, 64> buffer;
            auto batch = co_await receiving.receive(buffer);
            if (batch) received += batch->count();
            else ++stopped;
        };
        for (int round = 1; round <= 300; ++round) {
            coho::task_group group;
            co_await group.spawn(receive);
            for (int turn = 0; turn < round / 3 % 3; ++turn) co_await coho::yield();
            // A batch before the stop, after it, or none.
            if (round % 3 == 0) co_await send();
            group.request_stop();
            if (round % 3 == 1) co_await send();
            co_await group.join();
            while (round % 20 == 0 && received < sent) {
                const auto before = received;
                co_await receive();
                REQUIRE(received > before);
            }
        }
        while (received < sent) {
            const auto before = received;
            co_await receive();
            REQUIRE(received > before);
        }
        CHECK(received == sent);
        CHECK(stopped > 0);
    });
}
