// Two ends of one connection: one writes as the input says, the other reads as the input says, and
// every read is compared with the whole of the bytes, which are known before. The kernel is the
// simulated one, whose seed the input says too, so that an input does the same each time; or the
// real one that COHO_BACKEND names.

#include "fuzz.hpp"
#include "support/stream_pair.hpp"

#include <array>
#include <cstdlib>
#include <vector>

namespace {

using coho::errc;
using coho::task;
using fuzz::require;

enum class way : std::uint8_t { some, whole, pieces, until, pause };

/// One thing that the writer or the reader does, with a size for each piece of memory. A pause
/// lasts so many turns, and read_until has its limit there.
struct step {
    way how;
    std::vector<std::size_t> sizes;
};

/// What an input means.
struct script {
    explicit script(fuzz::number_reader numbers);

    bool small_buffer = false;
    std::string delimiter;
    std::string bytes;
    std::vector<step> writes;
    std::vector<step> reads;

private:
    static constexpr std::size_t longest_stream = 1 << 17;
    static constexpr std::size_t largest_size = (255 - 223) * 1021;
    static constexpr std::size_t period = 251;

    static std::size_t size_from(fuzz::number_reader& numbers) {
        // Beyond what a socket's buffers hold, and beyond what read_until reads at once.
        const std::size_t number = numbers.next();
        return number < 224 ? number : (number - 223) * 1021;
    }
    static step step_from(fuzz::number_reader& numbers, way how) {
        if (how == way::pause) return {how, {numbers.next() % 8u}};
        step read{how, {}};
        const int count = how == way::pieces ? numbers.next() % 17 : 1;
        for (int i = 0; i < count; ++i) read.sizes.push_back(size_from(numbers));
        return read;
    }
    void add_write(step added, fuzz::number_reader& numbers) {
        if (added.how != way::pause) {
            for (auto& size : added.sizes) {
                size = std::min(size, longest_stream - bytes.size());
                add_bytes(size, numbers);
            }
        }
        writes.push_back(std::move(added));
    }
    /// So few letters that the delimiter comes often, in part and within itself; or so many bytes
    /// that one lost, doubled or overtaken shows.
    void add_bytes(std::size_t count, fuzz::number_reader& numbers) {
        // As long as the longest, and made once: to make them anew takes longer than all else.
        static const std::string counted = [] {
            std::string numbered(period + largest_size, 0);
            for (std::size_t i = 0; i < numbered.size(); ++i) {
                numbered[i] = static_cast<char>(i % period);
            }
            return numbered;
        }();
        if (count >= 32) bytes.append(counted, bytes.size() % period, count);
        else for (std::size_t i = 0; i < count; ++i) bytes += letter_from(numbers);
    }
    static char letter_from(fuzz::number_reader& numbers) { return "ab\r\n"[numbers.next() % 4]; }
};

script::script(fuzz::number_reader numbers) {
    const auto flags = numbers.next();
    small_buffer = flags & 1;
    for (int i = (flags >> 1) % 5; i > 0; --i) delimiter += letter_from(numbers);
    while (!numbers.at_end()) {
        const auto choice = numbers.next() % 9;
        const bool writes_something = choice < 4;
        constexpr way ways[] = {way::some,  way::whole,  way::pieces, way::pause, way::some,
                                way::whole, way::pieces, way::until,  way::pause};
        auto next = step_from(numbers, ways[choice]);
        if (writes_something) add_write(std::move(next), numbers);
        else reads.push_back(std::move(next));
    }
}

task<> pause(std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) co_await coho::yield();
}

/// errc::none where there is a value.
template <class T>
errc reason_of(const coho::result<T>& outcome) noexcept {
    return outcome ? errc::none : outcome.error().reason();
}

template <class Backend>
class writer {
public:
    writer(coho::basic_tcp_stream<Backend>& stream, const script& plan)
        : stream_(stream), rest_(plan.bytes) {}

    task<> run(const script& plan) {
        for (const auto& each : plan.writes) {
            if (each.how == way::pause) co_await pause(each.sizes[0]);
            else if (each.how == way::some) co_await write_some(take(each.sizes[0]));
            else if (each.how == way::whole) co_await write_whole(take(each.sizes[0]));
            else co_await write_pieces(each);
        }
        require(stream_.shutdown_send().has_value(), "our side can be ended", "");
    }

private:
    std::string_view take(std::size_t count) {
        const auto taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }
    task<> write_some(std::string_view text) {
        while (!text.empty()) {
            auto written = co_await stream_.write_some(coho::as_bytes(text));
            require(written && *written >= 1 && *written <= text.size(),
                    "write_some writes a byte or more", text);
            text.remove_prefix(*written);
        }
    }
    task<> write_whole(std::string_view text) {
        auto written = co_await stream_.write_all(coho::as_bytes(text));
        require(written.has_value(), "write_all writes to a peer that reads", text);
    }
    task<> write_pieces(const step& each) {
        std::array<std::span<const std::byte>, coho::request::most_pieces> pieces;
        for (std::size_t i = 0; i < each.sizes.size(); ++i) {
            pieces[i] = coho::as_bytes(take(each.sizes[i]));
        }
        const auto used =
            std::span<const std::span<const std::byte>>(pieces).first(each.sizes.size());
        auto written = co_await stream_.write_all(used);
        require(written.has_value(), "pieces are written to a peer that reads", "");
    }

    coho::basic_tcp_stream<Backend>& stream_;
    std::string_view rest_;
};

template <class Backend>
class reader {
public:
    reader(coho::basic_tcp_stream<Backend>& stream, const script& plan)
        : stream_(stream), rest_(plan.bytes) {}

    task<> run(const script& plan) {
        for (const auto& each : plan.reads) {
            if (each.how == way::pause) co_await pause(each.sizes[0]);
            else if (each.how == way::whole) co_await read_exactly(each.sizes[0]);
            else if (each.how == way::until) co_await read_until(plan.delimiter, each.sizes[0]);
            else co_await read_some(each);
        }
        const step drain{way::some, {10'000}};
        while (!rest_.empty()) co_await read_some(drain);
        co_await read_some(drain);
    }

private:
    // No byte of a script.
    static constexpr char untouched = '\xff';

    static std::span<std::byte> room_in(std::string& text) {
        return std::as_writable_bytes(std::span(text));
    }

    task<> read_some(const step& each) {
        // Memory of its own for each, so that AddressSanitizer sees a byte too many.
        std::vector<std::string> memory;
        for (const auto size : each.sizes) memory.emplace_back(size, untouched);
        std::array<std::span<std::byte>, coho::request::most_pieces> pieces;
        for (std::size_t i = 0; i < memory.size(); ++i) pieces[i] = room_in(memory[i]);
        const auto used = std::span<const std::span<std::byte>>(pieces).first(memory.size());
        coho::result<std::size_t> received(errc::none);
        if (each.how == way::some) received = co_await stream_.read_some(used[0]);
        else received = co_await stream_.read_some(used);
        std::string filled;
        for (const auto& piece : memory) filled += piece;
        check_some(received, filled);
    }
    void check_some(const coho::result<std::size_t>& received, std::string_view buffer) {
        if (buffer.empty()) {
            require(reason_of(received) == errc::invalid_argument, "a read wants room", rest_);
        } else if (rest_.empty()) {
            require(reason_of(received) == errc::end_of_stream, "read_some tells the end", buffer);
        } else {
            require(received && *received >= 1 && *received <= buffer.size(),
                    "read_some gives a byte or more", rest_);
            require(rest_.starts_with(buffer.substr(0, *received)),
                    "read_some gives the next bytes", buffer);
            require(buffer.find_first_not_of(untouched, *received) == buffer.npos,
                    "read_some writes no more than it tells", buffer);
            rest_.remove_prefix(*received);
        }
    }

    task<> read_exactly(std::size_t size) {
        std::string buffer(size, untouched);
        auto received = co_await stream_.read_exactly(room_in(buffer));
        if (size <= rest_.size()) {
            require(received.has_value(), "read_exactly reads what comes", rest_);
            require(rest_.starts_with(buffer), "read_exactly gives the next bytes", buffer);
        } else {
            require(reason_of(received) == errc::end_of_stream, "read_exactly tells the end",
                    buffer);
        }
        rest_.remove_prefix(std::min(size, rest_.size()));
    }

    task<> read_until(const std::string& delimiter, std::size_t limit) {
        const auto kept = text_.size();
        const auto whole = text_ + std::string(rest_);
        auto found = co_await stream_.read_until(text_, delimiter, limit);
        require(whole.starts_with(text_), "read_until gives the next bytes", text_);
        require(text_.size() >= kept && text_.size() <= std::max(limit, kept),
                "read_until keeps what was there and stays below its limit", text_);
        rest_.remove_prefix(text_.size() - kept);
        const auto place = whole.substr(0, limit).find(delimiter);
        if (place != whole.npos) {
            require(found && *found == place + delimiter.size(), "read_until finds the first",
                    whole);
            require(text_.size() >= *found, "read_until has read what it found", text_);
            text_.erase(0, *found);
        } else if (whole.size() >= limit) {
            require(reason_of(found) == errc::limit_exceeded, "read_until heeds its limit", whole);
            // A server would end here; what follows is read with a new text.
            text_.clear();
        } else {
            require(reason_of(found) == errc::end_of_stream, "read_until tells the end", whole);
            require(text_ == whole, "read_until leaves what came before the end", text_);
        }
    }

    coho::basic_tcp_stream<Backend>& stream_;
    std::string_view rest_;
    std::string text_;
};

template <class Backend>
task<> body(fuzz::number_reader numbers) {
    const script plan(numbers);
    auto both = co_await support::connect_pair<Backend>();
    if (plan.small_buffer) (void)both.client.set(coho::send_buffer_size{1});
    writer<Backend> writes(both.client, plan);
    reader<Backend> reads(both.server, plan);
    co_await coho::when_all(writes.run(plan), reads.run(plan));
}

template <class Backend>
void run(fuzz::number_reader numbers, const typename Backend::options& wanted) {
    coho::scheduler<Backend> loop(wanted);
    require(loop.run(body<Backend>, numbers) == 0, "both ends come to an end", "");
    require(loop.frames().live() == 0, "every coroutine frame is back", "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::number_reader numbers({bytes, size});
    coho::simulated_options world;
    world.seed = numbers.next() * std::uint64_t(256);
    world.seed += numbers.next();
    // A kernel may write where it reports nothing; what is checked here is that the library does not.
    world.faults = coho::fault_set::harmless().without(coho::fault::scribbled_buffer);
    world.faults_begin = {};
    world.most_turns = 1'000'000;
    if (std::getenv("COHO_BACKEND")) run<coho::native>(numbers, {});
    else run<coho::simulated>(numbers, world);
    return 0;
}
