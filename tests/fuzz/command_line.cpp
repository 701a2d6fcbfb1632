// The command lines of the examples: words that are divided by line ends. The first letter of a
// flag says as what its value is read.

#include "fuzz.hpp"

#include "../../examples/command_line.hpp"

#include <vector>

namespace {

using fuzz::require;

/// A whole number in decimal up to the limit, or that and one.
std::uint64_t number_of(std::string_view digits, std::uint64_t limit) {
    if (digits.empty()) return limit + 1;
    std::uint64_t number = 0;
    for (const char each : digits) {
        if (each < '0' || each > '9') return limit + 1;
        number = number * 10 + static_cast<std::uint64_t>(each - '0');
        if (number > limit) return limit + 1;
    }
    return number;
}

void check_number(example::command_line& line, std::string_view text) {
    constexpr std::uint64_t most = 1'000'000'000;
    const auto expected = number_of(text, most);
    const bool fits = expected >= 1 && expected <= most;
    bool refused = false;
    try {
        require(line.number() == expected, "a number is read as it is written", text);
    } catch (const example::usage_error& wrong) {
        refused = true;
        require(std::string_view(wrong.what()).find(text) != text.npos, "the error quotes it",
                text);
    }
    require(refused != fits, "numbers from 1 to a billion are taken and no others", text);
}

void check_host_and_port(example::command_line& line, std::string_view text) {
    const auto known = coho::endpoint::parse(text);
    const auto colon = text.rfind(':');
    const auto port = number_of(colon == text.npos ? "" : text.substr(colon + 1), 65535);
    const bool fits = known || (port <= 65535 && colon > 0 && text.front() != '[');
    bool refused = false;
    try {
        const auto [host, number] = line.host_and_port();
        const auto wanted =
            known ? to_string(known->address()) : std::string(text.substr(0, colon));
        require(host == wanted && number == port, "host and port are what is written", text);
    } catch (const std::runtime_error&) {
        refused = true;
    }
    require(refused != fits, "host and port are taken where both are there", text);
}

void check_endpoint(example::command_line& line, std::string_view text) {
    const auto expected = coho::endpoint::parse(text);
    bool refused = false;
    try {
        const auto read = line.endpoint();
        require(expected && read == *expected, "endpoints are read as endpoint::parse does", text);
    } catch (const coho::failure&) {
        refused = true;
    }
    require(refused != expected.has_value(), "an endpoint is taken where it is one", text);
}

void check_flag(example::command_line& line, std::string_view flag, std::string_view value) {
    if (flag.starts_with('n')) return check_number(line, value);
    if (flag.starts_with('h')) return check_host_and_port(line, value);
    if (flag.starts_with('e')) return check_endpoint(line, value);
    require(line.value() == value, "a value is what follows the flag", value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    std::vector<std::string> texts{"program"};
    const std::string_view input(reinterpret_cast<const char*>(bytes), size);
    for (std::size_t begin = 0; begin < size;) {
        const auto end = std::min(input.find('\n', begin), size);
        // A word of a command line ends at a zero.
        texts.emplace_back(std::string(input.substr(begin, end - begin)).c_str());
        begin = end + 1;
    }
    std::vector<char*> words;
    for (auto& each : texts) words.push_back(each.data());

    example::command_line line(static_cast<int>(words.size()), words.data());
    for (std::size_t i = 1; i < texts.size(); i += 2) {
        const auto flag = line.next_flag();
        require(flag && *flag == texts[i], "flags come one after another", texts[i]);
        if (i + 1 < texts.size()) {
            check_flag(line, *flag, texts[i + 1]);
            continue;
        }
        bool refused = false;
        try {
            (void)line.value();
        } catch (const example::usage_error&) {
            refused = true;
        }
        require(refused, "a flag without its value is a mistake of usage", texts[i]);
    }
    require(!line.next_flag(), "there is no flag after the last", input);
    return 0;
}
