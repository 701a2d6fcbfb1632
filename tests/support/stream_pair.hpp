#pragma once

#include <coho.hpp>

#include <utility>

namespace support {

/// Two ends of one connection, both of coho.
template <class Backend>
struct stream_pair {
    coho::basic_tcp_stream<Backend> client;
    coho::basic_tcp_stream<Backend> server;
};
template <class Backend>
coho::task<stream_pair<Backend>> connect_pair(coho::endpoint where = coho::endpoint::loopback(0)) {
    auto listener = coho::basic_tcp_listener<Backend>::bind(where).value();
    auto [accepted, connected] = co_await coho::when_all(
        listener.accept(), coho::connect<Backend>(listener.local_endpoint()));
    stream_pair<Backend> both{std::move(connected).value(), std::move(accepted).value()};
    co_return std::move(both);
}

}  // namespace support
