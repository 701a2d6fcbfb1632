#include "support/connected.hpp"
#include "support/stream_bytes.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <numeric>
#include <optional>
#include <set>

using namespace std::chrono_literals;
using coho::endpoint;
using coho::errc;
using coho::fault;
using coho::fault_set;
using coho::task;
using support::reason_of;

#ifdef _WIN32
#define KERNELS coho::iocp
#else
#define KERNELS coho::io_uring, coho::epoll
#endif

namespace {

template <class Kernel>
using stream = coho::basic_tcp_stream<coho::faulty<Kernel>>;
template <class Kernel>
using listener = coho::basic_tcp_listener<coho::faulty<Kernel>>;
template <class Kernel>
using udp_socket = coho::basic_udp_socket<coho::faulty<Kernel>>;

/// How often each fault has struck.
struct strikes {
    std::array<std::uint64_t, coho::fault_kinds> counts{};
    std::uint64_t of(fault kind) const { return counts[static_cast<std::size_t>(kind)]; }
};

template <class Kernel>
const coho::fault_plan& faults_here() {
    return coho::scheduler<coho::faulty<Kernel>>::current().kernel().faults();
}
template <class Kernel>
std::uint64_t struck(fault kind) {
    return faults_here<Kernel>().struck(kind);
}

/// Runs the program once for each seed, and checks that descriptors and frames are back each time.
template <class Kernel, class Program>
strikes run_seeds(fault_set faults, std::uint64_t seeds, Program program) {
    strikes sum;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const auto descriptors = support::open_descriptors();
        {
            coho::faulty_options<Kernel> options;
            options.seed = seed;
            options.faults = faults;
            coho::scheduler<coho::faulty<Kernel>> world(options);
            INFO(world.backend_reason());
            try {
                const int status = world.run(support::within_bounds<Program>, program);
                CHECK(status == 0);
            } catch (const std::bad_alloc&) {
                CHECK(world.kernel().faults().struck(fault::failed_allocation) > 0);
            }
            CHECK(world.frames().live() == 0);
            for (std::size_t i = 0; i < coho::fault_kinds; ++i) {
                sum.counts[i] += world.kernel().faults().struck(static_cast<fault>(i));
            }
        }
        CHECK(support::open_descriptors() == descriptors);
    }
    return sum;
}

/// A connection that ends by a reset keeps no port for a minute; here are thousands.
void end_by_reset(auto& connection) {
    CHECK(connection.set(coho::linger{.value = true, .time = {}}));
}

/// Listens, also where the first sockets fail to open.
template <class Kernel>
listener<Kernel> listen_at_last() {
    for (;;) {
        auto bound = listener<Kernel>::bind(endpoint::loopback(0));
        if (bound) return std::move(*bound);
    }
}

template <class Kernel>
task<> echo(listener<Kernel>* listening) {
    std::array<std::byte, 4'000> buffer;
    for (;;) {
        auto accepted = co_await listening->accept();
        if (!accepted && accepted.error() != errc::cancelled) FAIL_CHECK("accepting has ended");
        if (!accepted) co_return;
        for (;;) {
            auto received = co_await accepted->read_some(buffer);
            if (!received) break;
            auto sent = co_await accepted->write_all(std::span(buffer).first(*received));
            if (!sent) break;
        }
        co_await accepted->close();
    }
}

/// Whether the bytes came back as they were; false where something broke meanwhile.
template <class Kernel>
task<bool> talk(endpoint server) {
    std::array<std::byte, 4'000> out, in;
    support::fill(out, 7);
    auto connected = co_await coho::connect<coho::faulty<Kernel>>(server);
    if (!connected) co_return false;
    end_by_reset(*connected);
    auto sent = co_await connected->write_all(out);
    if (!sent) co_return false;
    auto received = co_await connected->read_exactly(in);
    if (received) CHECK(in == out);
    co_return received.has_value();
}

/// Uses all that a kernel can do, and takes whatever fails for a matter of course.
template <class Kernel>
task<> do_everything() {
    auto listening = listen_at_last<Kernel>();
    coho::task_group group;
    co_await group.spawn(echo<Kernel>, &listening);
    for (int i = 0; i < 20; ++i) (void)co_await talk<Kernel>(listening.local_endpoint());
    auto mailbox = udp_socket<Kernel>::bind(endpoint::loopback(0));
    std::array<std::byte, 100> buffer{};
    for (int i = 0; mailbox && i < 20; ++i) {
        (void)co_await mailbox->send_to(buffer, mailbox->local_endpoint());
        for (int reads = 0; reads < 2; ++reads) {
            (void)co_await coho::timeout(100us, mailbox->receive_from(buffer));
        }
    }
    group.request_stop();
    co_await group.join();
}

}  // namespace

TEMPLATE_TEST_CASE("faulty: each fault that it can do strikes, and nothing is left behind",
                   "[faulty]", KERNELS) {
    // Those two end the program, and have a case of their own.
    constexpr auto faults =
        fault_set::all().without(fault::failed_allocation).without(fault::stop_request);
    const auto sum = run_seeds<TestType>(faults, 60, do_everything<TestType>);
    for (std::size_t i = 0; i < coho::fault_kinds; ++i) {
        const auto kind = static_cast<fault>(i);
        INFO(coho::name_of(kind));
        CHECK((sum.of(kind) > 0) == (coho::faulty<TestType>::possible & faults).contains(kind));
    }
}

TEMPLATE_TEST_CASE("faulty: without faults nothing strikes", "[faulty]", KERNELS) {
    const auto sum = run_seeds<TestType>(fault_set::none(), 3, do_everything<TestType>);
    CHECK(std::accumulate(sum.counts.begin(), sum.counts.end(), std::uint64_t(0)) == 0);
}

TEMPLATE_TEST_CASE("faulty: a listener outlives accepts that fail, and serves who tries again",
                   "[faulty]", KERNELS) {
    std::uint64_t unserved = 0, breaks = 0;
    const auto sum = run_seeds<TestType>({fault::failed_accept}, 12, [&]() -> task<> {
        auto listening = listen_at_last<TestType>();
        coho::task_group group;
        co_await group.spawn(echo<TestType>, &listening);
        for (int served = 0; served < 30;) {
            const bool answered = co_await talk<TestType>(listening.local_endpoint());
            if (answered) ++served;
            else ++unserved;
        }
        group.request_stop();
        co_await group.join();
        const auto& met = listening.statistics();
        breaks += met.skipped;
        CHECK(met.skipped + met.starved == struck<TestType>(fault::failed_accept));
    });
    CHECK(sum.of(fault::failed_accept) > breaks);
    // Some connections broke once they were taken, and others before anybody had asked.
    CHECK(unserved > 0);
    CHECK(unserved < breaks);
}

TEMPLATE_TEST_CASE("faulty: short transfers move what they say and touch nothing else", "[faulty]",
                   KERNELS) {
    std::uint64_t short_writes = 0, short_reads = 0;
    const auto sum = run_seeds<TestType>({fault::short_transfer}, 12, [&]() -> task<> {
        constexpr std::size_t total = 100'000;
        auto pair = co_await support::connect_pair<coho::faulty<TestType>>();
        auto send = [&]() -> task<> {
            std::array<std::byte, 1'000> bytes;
            for (std::size_t sent = 0; sent < total;) {
                support::fill(bytes, sent);
                auto count = co_await pair.client.write_some(bytes);
                REQUIRE(count);
                short_writes += *count < bytes.size();
                sent += *count;
            }
            CHECK(pair.client.shutdown_send());
        };
        auto receive = [&]() -> task<> {
            std::array<std::byte, 900> bytes;
            const std::array<std::span<std::byte>, 3> pieces{
                std::span(bytes).first(100), std::span(bytes).subspan(100, 300),
                std::span(bytes).subspan(400)};
            std::uint64_t place = 0;
            for (bool in_pieces = false;; in_pieces = !in_pieces) {
                // What lies there is wrong everywhere, and must stay so beyond what was read.
                support::fill(bytes, place);
                for (auto& each : bytes) each = ~each;
                const auto before = bytes;
                coho::result<std::size_t> count = 0;
                if (in_pieces) count = co_await pair.server.read_some(pieces);
                else count = co_await pair.server.read_some(bytes);
                if (!count) break;
                CHECK_FALSE(support::first_wrong(std::span(bytes).first(*count), place));
                CHECK(std::equal(bytes.begin() + static_cast<std::ptrdiff_t>(*count), bytes.end(),
                                 before.begin() + static_cast<std::ptrdiff_t>(*count)));
                short_reads += *count < bytes.size();
                place += *count;
            }
            CHECK(place >= total);
        };
        co_await coho::when_all(send(), receive());
    });
    CHECK(sum.of(fault::short_transfer) > 0);
    CHECK(short_writes > 0);
    CHECK(short_reads > 0);
}

TEMPLATE_TEST_CASE("faulty: a read whose cancel comes late may succeed, and no byte is lost",
                   "[faulty]", KERNELS) {
    int succeeded = 0, cancelled = 0;
    run_seeds<TestType>({fault::late_cancel, fault::late_completion}, 16, [&]() -> task<> {
        auto pair = co_await support::connect_pair<coho::faulty<TestType>>();
        std::uint64_t place = 0;
        std::array<std::byte, 8> out, in;
        auto read = [&]() -> task<> {
            auto received = co_await pair.server.read_exactly(in);
            if (received) {
                ++succeeded;
                CHECK_FALSE(support::first_wrong(in, place));
            } else {
                ++cancelled;
                CHECK(reason_of(received) == errc::cancelled);
            }
        };
        for (int round = 0; round < 200; ++round) {
            const int before = succeeded;
            // Bytes that are there at once, or come with the cancel.
            const bool early = round % 2;
            auto write = [&]() -> task<> {
                auto sent = co_await pair.client.write_all(out);
                REQUIRE(sent);
                co_await support::let_turns_pass();
            };
            support::fill(out, place);
            coho::task_group group;
            if (early) co_await write();
            co_await group.spawn(read);
            if (!early) co_await support::let_turns_pass();
            group.request_stop();
            if (!early) co_await write();
            co_await group.join();
            if (succeeded == before) {
                auto late = co_await pair.server.read_exactly(in);
                REQUIRE(late);
                CHECK_FALSE(support::first_wrong(in, place));
            }
            place += out.size();
        }
    });
    CHECK(succeeded > 0);
    CHECK(cancelled > 0);
}

TEMPLATE_TEST_CASE("faulty: an accept whose cancel comes late loses no connection", "[faulty]",
                   KERNELS) {
    int succeeded = 0, cancelled = 0;
    run_seeds<TestType>({fault::late_cancel, fault::late_completion}, 8, [&]() -> task<> {
        auto listening = listen_at_last<TestType>();
        std::optional<stream<TestType>> taken;
        auto take = [&]() -> task<> {
            auto accepted = co_await listening.accept();
            if (accepted) taken.emplace(std::move(*accepted));
            else CHECK(reason_of(accepted) == errc::cancelled);
        };
        for (int round = 0; round < 50; ++round) {
            coho::task_group group;
            co_await group.spawn(take);
            co_await support::let_turns_pass();
            group.request_stop();
            auto peer = support::raw_socket::connected_to(listening.local_endpoint());
            const std::string sent(1, static_cast<char>('A' + round));
            peer.send(sent);
            co_await group.join();
            ++(taken ? succeeded : cancelled);
            if (!taken) co_await take();
            const auto received = co_await support::receive_text(taken.value(), 1);
            CHECK(received == sent);
            taken.reset();
            peer.reset();
        }
    });
    CHECK(succeeded > 0);
    CHECK(cancelled > 0);
}

// io_uring, which waits for the end of accepting, meets completions of others then.
TEMPLATE_TEST_CASE("faulty: what was done while a listener closed is not cancelled any more",
                   "[faulty]", KERNELS) {
    run_seeds<TestType>({fault::late_cancel}, 8, [&]() -> task<> {
        for (int round = 0; round < 40; ++round) {
            auto link = co_await support::accept_peer<coho::faulty<TestType>>();
            auto listening = listen_at_last<TestType>();
            auto client = support::raw_socket::connected_to(listening.local_endpoint());
            auto accepted = co_await listening.accept();
            CHECK(accepted);
            std::string read;
            auto take = [&]() -> task<> { read = co_await support::receive_text(link.stream, 1); };
            coho::task_group group;
            co_await group.spawn(take);
            co_await support::let_turns_pass();
            link.peer.send("x");
            if (round % 2) group.request_stop();
            co_await listening.close();
            group.request_stop();
            co_await group.join();
            if (read.empty()) co_await take();
            CHECK(read == "x");
            link.peer.reset();
            client.reset();
        }
    });
}

TEMPLATE_TEST_CASE("faulty: a lost datagram is reported as sent, and the others arrive once",
                   "[faulty]", KERNELS) {
    const auto sum = run_seeds<TestType>({fault::lost_datagram}, 12, [&]() -> task<> {
        auto from = udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        auto to = udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        std::array<std::byte, 8> bytes;
        for (std::uint64_t i = 0; i < 200; ++i) {
            const auto lost_before = struck<TestType>(fault::lost_datagram);
            support::fill(bytes, i);
            auto sent = co_await from.send_to(bytes, to.local_endpoint());
            REQUIRE(sent);
            if (struck<TestType>(fault::lost_datagram) > lost_before) continue;
            bytes = {};
            auto received = co_await to.receive_from(bytes);
            REQUIRE(received);
            // Were it one that was reported lost, or one doubled, its number would be another.
            CHECK_FALSE(support::first_wrong(bytes, i));
        }
    });
    CHECK(sum.of(fault::lost_datagram) > 0);
}

#ifndef _WIN32  // where a batch is many calls, each of which may be lost
TEMPLATE_TEST_CASE("faulty: a batch that is lost is reported as sent, and the others arrive whole",
                   "[faulty][batches]", KERNELS) {
    const auto sum = run_seeds<TestType>({fault::lost_datagram}, 12, [&]() -> task<> {
        auto from = udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        auto to = udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        auto sending = from.batches(), receiving = to.batches();
        std::array<std::byte, 20> out, in;
        for (std::uint64_t i = 0; i < 200; ++i) {
            const auto lost_before = struck<TestType>(fault::lost_datagram);
            support::fill(out, i);
            // One call, so that all of it is lost or none.
            auto sent = co_await sending.send(out, 8, to.local_endpoint());
            REQUIRE(sent);
            if (struck<TestType>(fault::lost_datagram) > lost_before) continue;
            for (std::size_t filled = 0; filled < in.size();) {
                auto batch = co_await receiving.receive(std::span(in).subspan(filled));
                REQUIRE(batch);
                filled += batch->bytes.size();
            }
            CHECK(in == out);
        }
    });
    CHECK(sum.of(fault::lost_datagram) > 0);
}
#endif

TEMPLATE_TEST_CASE("faulty: what it refuses is told as the portable error, and moves no byte",
                   "[faulty]", KERNELS) {
    std::set<errc> openings, writes;
    const fault_set refusals{fault::failed_open, fault::full_submission, fault::exhausted_buffers};
    run_seeds<TestType>(refusals, 24, [&]() -> task<> {
        for (int i = 0; i < 50; ++i) {
            openings.insert(reason_of(udp_socket<TestType>::bind(endpoint::loopback(0))));
        }
        auto listening = listen_at_last<TestType>();
        auto peer = support::raw_socket::connected_to(listening.local_endpoint());
        auto accepted = co_await listening.accept();
        REQUIRE(accepted);
        int sent = 0;
        for (int i = 0; i < 200; ++i) {
            auto written = co_await accepted->write_all(coho::as_bytes("four"));
            writes.insert(reason_of(written));
            if (written) ++sent;
        }
        co_await accepted->close();
        CHECK(peer.receive(1'000).size() == static_cast<std::size_t>(4 * sent));
    });
    CHECK(openings == std::set{errc::none, errc::too_many_descriptors, errc::not_enough_memory});
    CHECK(writes == std::set{errc::none, errc::not_enough_memory});
}

TEMPLATE_TEST_CASE("faulty: a connection that is reset stays broken, and its peer sees the end",
                   "[faulty]", KERNELS) {
    const auto sum = run_seeds<TestType>({fault::connection_reset}, 24, [&]() -> task<> {
        auto pair = co_await support::connect_pair<coho::faulty<TestType>>();
        for (int i = 0; i < 200; ++i) {
            auto written = co_await pair.client.write_all(coho::as_bytes("four"));
            if (written) continue;
            CHECK(reason_of(written) == errc::connection_reset);
            written = co_await pair.client.write_all(coho::as_bytes("four"));
            CHECK(reason_of(written) == errc::connection_reset);
            std::array<std::byte, 1'000> buffer;
            auto received = co_await pair.server.read_some(buffer);
            while (received) received = co_await pair.server.read_some(buffer);
            CHECK((reason_of(received) == errc::end_of_stream ||
                   reason_of(received) == errc::connection_reset));
            break;
        }
    });
    CHECK(sum.of(fault::connection_reset) > 0);
}

TEMPLATE_TEST_CASE("faulty: who is refused though somebody listens may try again", "[faulty]",
                   KERNELS) {
    std::set<errc> endings;
    run_seeds<TestType>({fault::refused_connection}, 12, [&]() -> task<> {
        auto listening = listen_at_last<TestType>();
        for (int i = 0; i < 50; ++i) {
            auto connected =
                co_await coho::connect<coho::faulty<TestType>>(listening.local_endpoint());
            endings.insert(reason_of(connected));
            if (!connected) continue;
            end_by_reset(*connected);
            auto accepted = co_await listening.accept();
            CHECK(accepted);
        }
    });
    CHECK(endings == std::set{errc::none, errc::connection_refused});
}

TEMPLATE_TEST_CASE("faulty: the root task is asked to stop once, where that was drawn", "[faulty]",
                   KERNELS) {
    std::uint64_t drawn = 0;
    const auto sum = run_seeds<TestType>({fault::stop_request}, 12, [&]() -> task<> {
        bool goes_on = faults_here<TestType>().drawn().contains(fault::stop_request);
        drawn += goes_on;
        while (goes_on) goes_on = co_await coho::sleep(1us);
    });
    CHECK(drawn > 0);
    CHECK(sum.of(fault::stop_request) == drawn);
}

TEMPLATE_TEST_CASE("faulty: a coroutine that lacks memory throws, and the others go on", "[faulty]",
                   KERNELS) {
    std::uint64_t thrown = 0, ended = 0;
    const auto sum = run_seeds<TestType>({fault::failed_allocation}, 12, [&]() -> task<> {
        auto small = []() -> task<> { co_await coho::yield(); };
        for (int i = 0; i < 200; ++i) {
            try {
                co_await small();
                ++ended;
            } catch (const std::bad_alloc&) {
                ++thrown;
            }
        }
    });
    CHECK(thrown > 0);
    CHECK(ended > 0);
    // The others were denied before the program had begun.
    CHECK(sum.of(fault::failed_allocation) - thrown <= 12);
}
