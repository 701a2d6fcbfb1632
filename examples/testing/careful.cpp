#include "sums.hpp"

// [careful]
auto read_carefully = [](auto& stream, std::span<std::byte> message) {
    return stream.read_exactly(message);
};
// [end]

// [main]
/// With "--serve" it is the server itself, on the kernel of this machine.
int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--serve") {
        return coho::run(serve<coho::native, decltype(read_carefully)>,
                         coho::endpoint::loopback(7777), read_carefully);
    }
    return coho::simulate(argc, argv, [] { return world(read_carefully); }, a_bad_network());
}
// [end]
