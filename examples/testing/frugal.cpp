#include "sums.hpp"

#include <cstdlib>
#include <new>

// [heap]
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    coho::allocation_guard::note("memory", size);
    return std::malloc(size);
}
void* operator new(std::size_t size) {
    if (void* memory = operator new(size, std::nothrow)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// [end]

// [frugal]
/// Gives the number of right answers.
coho::task<int> ask_often(coho::tcp_stream& stream, int times) {
    int right = 0;
    for (int i = 0; i < times; ++i) {
        request numbers{40, 2};
        reply sum{};
        auto sent = co_await stream.write_all(bytes_of(numbers));
        auto came = co_await coho::timeout(5s, stream.read_exactly(bytes_of(sum)));
        right += sent && came && sum[0] == 42;
    }
    co_return right;
}

coho::task<int> serve_without_heap() {
    auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(0)).value();
    const auto where = listener.local_endpoint();
    coho::task_group server;
    co_await server.spawn(serve<coho::native, decltype(read_carefully)>, std::move(listener),
                          read_carefully);
    auto connected = co_await coho::connect(where);
    auto stream = std::move(connected).value();
    int right = co_await ask_often(stream, 100);
    {
        const coho::allocation_guard guard;
        right += co_await ask_often(stream, 1000);
    }
    server.request_stop();
    co_await server.join();
    co_return right == 1100 ? 0 : 1;
}

int main() { return coho::run(serve_without_heap); }
// [end]
