#include "sums.hpp"

// [hasty]
/// As many a first server reads: it takes what one read gives for a whole message.
auto read_hastily = [](auto& stream, std::span<std::byte> message) {
    return stream.read_some(message);
};

int main(int argc, char** argv) {
    return coho::simulate(argc, argv, [] { return world(read_hastily); }, a_bad_network());
}
// [end]
