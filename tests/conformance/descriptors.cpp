// The system gives the number of a closed descriptor to the next one that is opened: nothing of the
// old one may reach the new.

#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

template <class Backend>
task<errc> read_in_vain(coho::basic_tcp_stream<Backend>& stream) {
    std::array<std::byte, 64> buffer;
    auto received = co_await stream.read_some(buffer);
    co_return reason_of(received);
}

/// Closes the stream while another task reads from it, and has its number taken again at once.
template <class Backend>
task<support::stream_and_peer<Backend>> replace(coho::basic_tcp_stream<Backend>& old) {
    co_await coho::yield();
    co_await old.close();
    co_return co_await support::accept_peer<Backend>();
}

/// A second descriptor of the same socket, as a child would have it.
class duplicate {
public:
    explicit duplicate(coho::handle of)
        : number_(support::checked(::dup(coho::descriptor_of(of)))) {}
    duplicate(const duplicate&) = delete;
    ~duplicate() { ::close(number_); }
    int number() const noexcept { return number_; }

private:
    int number_;
};

/// The same connection under that number, which must be free.
template <class Backend>
coho::basic_tcp_stream<Backend> renumbered(coho::basic_tcp_stream<Backend> stream,
                                           coho::handle number) {
    auto& on = coho::scheduler<Backend>::current();
    const duplicate kept(stream.native_handle());
    { const auto closed = std::move(stream); }
    support::checked(::dup3(kept.number(), coho::descriptor_of(number), O_CLOEXEC));
    CHECK(on.kernel().attach(number) == 0);
    return {on, number};
}

/// Registrations in all epoll instances of this process. proc_pid_fdinfo(5).
std::size_t epoll_registrations() {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
        std::ifstream information(each.path());
        for (std::string line; std::getline(information, line);) count += line.starts_with("tfd:");
    }
    return count;
}

}  // namespace

TEMPLATE_TEST_CASE("H5: what was asked of a closed connection never ends on another of its number",
                   "[conformance][H5]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        std::set<coho::handle> numbers;
        auto link = co_await support::accept_peer<TestType>();
        for (int round = 0; round < 500; ++round) {
            const auto cookie = "connection " + std::to_string(round);
            numbers.insert(link.stream.native_handle());
            link.peer.send(cookie);
            const auto told = co_await support::receive_text(link.stream, cookie.size());
            CHECK(told == cookie);
            auto [read, next] = co_await coho::when_all(read_in_vain<TestType>(link.stream),
                                                        replace<TestType>(link.stream));
            CHECK(read == errc::cancelled);
            link.peer.reset();
            link = std::move(next);
        }
        // Else this has tested nothing.
        CHECK(numbers.size() < 20);
    });
}

TEMPLATE_TEST_CASE("H5: a connection put under the number of a closed one gets its own bytes",
                   "[conformance][H5]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        for (int round = 0; round < 200; ++round) {
            const auto cookie = "connection " + std::to_string(round);
            auto old = co_await support::accept_peer<TestType>();
            auto kept = co_await support::accept_peer<TestType>();
            const auto number = old.stream.native_handle();
            old.peer.send("nobody reads this");
            co_await old.stream.close();
            auto stream = renumbered<TestType>(std::move(kept.stream), number);
            kept.peer.send(cookie);
            const auto told = co_await support::receive_text(stream, cookie.size());
            CHECK(told == cookie);
            old.peer.reset();
            kept.peer.reset();
        }
    });
}

TEMPLATE_TEST_CASE("H6: what happens to a closed socket that lives on elsewhere wakes nobody here",
                   "[conformance][H6]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const auto full = support::raw_socket::listening(0);
        const auto filler = support::raw_socket::connected_to(full.local_endpoint());
        auto link = co_await support::accept_peer<TestType>();
        const auto number = link.stream.native_handle();
        const duplicate elsewhere(number);
        co_await link.stream.close();
        link.peer.send("for the other owner");
        // Whoever mistook that for an event of its own would take itself for connected.
        auto& on = coho::scheduler<TestType>::current();
        const auto opened =
            on.kernel().open(coho::address_family::ipv4, coho::socket_kind::stream);
        coho::basic_socket<TestType> socket(on, static_cast<coho::handle>(opened));
        REQUIRE(socket.native_handle() == number);
        auto connected = co_await coho::timeout(
            20ms, coho::connecting<TestType>(socket, {number, full.local_endpoint()}));
        CHECK(reason_of(connected) == errc::timed_out);
    });
}

TEMPLATE_TEST_CASE("H6: of two that are ready at once, the first may close and replace the second",
                   "[conformance][H6]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto first = co_await support::accept_peer<TestType>();
        auto second = co_await support::accept_peer<TestType>();
        auto third = co_await support::accept_peer<TestType>();
        const auto number = second.stream.native_handle();
        first.peer.send("first");
        second.peer.send("second");
        const auto text = co_await support::receive_text(first.stream, 5);
        CHECK(text == "first");
        co_await second.stream.close();
        auto replacement = renumbered<TestType>(std::move(third.stream), number);
        third.peer.send("third");
        const auto told = co_await support::receive_text(replacement, 5);
        CHECK(told == "third");
    });
}

TEMPLATE_TEST_CASE("H6: a closed socket that lives on elsewhere is registered no longer",
                   "[conformance][H6]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const auto before = epoll_registrations();
        auto link = co_await support::accept_peer<TestType>();
        const duplicate elsewhere(link.stream.native_handle());
        co_await link.stream.close();
        CHECK(epoll_registrations() == before);
    });
}
