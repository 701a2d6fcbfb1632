// Hands what the first connection sends on to all that came after it: a message goes to all of them
// side by side, and the next is read once all have taken it.

#include "coho_server.hpp"

#include <array>
#include <list>

struct broadcast_server {
    template <class Backend>
    using streams = std::list<coho::basic_tcp_stream<Backend>>;

    template <class Backend>
    static coho::task<> send(coho::basic_tcp_stream<Backend>* to,
                             std::span<const std::byte> message) {
        auto sent = co_await to->write_all(message);
        if (!sent) co_await to->close();
    }

    template <class Backend>
    static coho::task<> hand_on(coho::basic_tcp_stream<Backend> source,
                                streams<Backend>* subscribers) {
        std::array<std::byte, buffer_size> buffer;
        while (auto received = co_await source.read_some(buffer)) {
            std::span<const std::byte> message = std::span(buffer).first(*received);
            coho::task_group sending;
            for (auto& each : *subscribers) {
                co_await sending.spawn(send<Backend>, &each, message);
            }
            co_await sending.join();
            subscribers->remove_if([](const auto& each) { return !each.is_open(); });
        }
        subscribers->clear();
    }

    template <class Backend>
    static coho::task<> serve(coho::endpoint where) {
        const char greets = greeting;
        auto listener = coho::basic_tcp_listener<Backend>::bind(where).value();
        streams<Backend> subscribers;
        coho::task_group sources;
        example::announce(listener.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        while (auto accepted = co_await listener.accept()) {
            if (sources.live() == 0) {
                co_await sources.spawn(hand_on<Backend>, std::move(*accepted), &subscribers);
                continue;
            }
            auto greeted =
                co_await accepted->write_all(coho::as_bytes(std::string_view(&greets, 1)));
            if (greeted) subscribers.push_back(std::move(*accepted));
        }
        co_await sources.join();
    }
};

int main(int count, char** words) { return run_server<broadcast_server>(count, words); }
