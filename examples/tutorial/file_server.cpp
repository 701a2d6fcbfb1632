// [server]
#include <coho.hpp>
#include <cstdio>
using namespace std::chrono_literals;

coho::task<> send_page(coho::tcp_stream stream, const coho::file* page) {
    auto sent = co_await coho::timeout(60s, stream.send_file(*page));
    if (!sent) std::fprintf(stderr, "%s\n", sent.error().message().c_str());
}

coho::task<coho::result<void>> serve(const char* path) {
    auto page = coho::file::open(path);
    if (!page) co_return std::move(page).error();
    auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(7777)).value();
    coho::task_group connections({.max_live = 10'000, .drain = 5s});
    while (auto accepted = co_await listener.accept())
        co_await connections.spawn(send_page, std::move(*accepted), &*page);
    co_await listener.close();
    co_await connections.join();
    co_return coho::result<void>();
}

int main(int count, char** words) { return count == 2 ? coho::run(serve, words[1]) : 2; }
// [end]
