#pragma once

#include "simulated_faults.hpp"

#include <cstdio>

namespace coho {

/// What a way between two hosts is like.
struct link_conditions {
    /// One way.
    duration latency = std::chrono::microseconds(100);
    /// Up to so much more, each time.
    duration jitter{};
    /// 0 is no limit.
    std::uint64_t bytes_per_second = 0;
    /// The share of packets that are lost, from 0 to less than 1. A stream sends them again, later.
    double loss = 0;
};

struct simulated_options {
    /// All that happens by chance follows from it.
    std::uint64_t seed = 1;
    /// The faults that may happen, of which the seed draws some; how often each strikes follows
    /// from the seed too.
    fault_set faults = fault_set::all();
    /// When faults may strike, counted from the start of the world.
    duration faults_begin = std::chrono::milliseconds(1);
    duration faults_end = std::chrono::seconds(30);
    /// The way between hosts that no link() was made for. Its limit of bytes is each socket's.
    link_conditions network{};
    /// Sockets open at once; the next one fails with errc::too_many_descriptors.
    std::size_t most_handles = 100'000;
    /// Ends the process with a sentence after so many turns of the loop: for what never comes to an
    /// end. 0 is no limit.
    std::uint64_t most_turns = 0;
    /// Where to write a line for each thing that happens; null is nowhere.
    std::FILE* log = nullptr;
};

}  // namespace coho
