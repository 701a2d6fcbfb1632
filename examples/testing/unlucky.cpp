#include "sums.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

// [unlucky]
using unlucky = coho::faulty<coho::native>;

/// Gives 1 where an answer was wrong, or none ever came.
coho::task<int> ask_often() {
    auto listener = coho::basic_tcp_listener<unlucky>::bind(coho::endpoint::loopback(0)).value();
    const auto where = listener.local_endpoint();
    coho::task_group server;
    co_await server.spawn(serve<unlucky, decltype(read_carefully)>, std::move(listener),
                          read_carefully);
    int answers = 0;
    bool right = true;
    for (std::uint32_t i = 0; i < 200; ++i) {
        request numbers{i, 2};
        reply sum{};
        auto stream = co_await coho::connect<unlucky>(where);
        if (!stream) continue;
        auto sent = co_await stream->write_all(bytes_of(numbers));
        if (!sent) continue;
        auto came = co_await coho::timeout(5s, stream->read_exactly(bytes_of(sum)));
        if (!came) continue;
        ++answers;
        right = right && sum[0] == i + 2;
    }
    server.request_stop();
    co_await server.join();
    co_return right && answers > 0 ? 0 : 1;
}

/// The argument is the seed.
int main(int argc, char** argv) {
    coho::faulty_options<coho::native> options;
    options.seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
    // A listener that lacks a descriptor, or a frame its memory, would end this program.
    options.faults = coho::fault_set::all()
                         .without(coho::fault::failed_open)
                         .without(coho::fault::failed_allocation);
    coho::scheduler<unlucky> loop(options);
    const int status = loop.run(ask_often);
    std::printf("%s\n", std::string(loop.backend_reason()).c_str());
    return status;
}
// [end]
