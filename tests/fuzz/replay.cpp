// Gives a target the inputs of files and directories, without libFuzzer, on any compiler.

#include "fuzz.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace {

using path = std::filesystem::path;

std::vector<path> files_in(const path& place) {
    if (!std::filesystem::is_directory(place)) return {place};
    std::vector<path> files;
    for (const auto& each : std::filesystem::directory_iterator(place)) files.push_back(each);
    std::sort(files.begin(), files.end());
    return files;
}

bool replay(const path& file) {
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    if (!stream) {
        std::fprintf(stderr, "cannot read %s\n", file.string().c_str());
        return false;
    }
    // An input that ends the process is the last one named.
    std::fprintf(stderr, "%s\n", file.string().c_str());
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return true;
}

}  // namespace

int main(int count, char** words) {
    int replayed = 0;
    for (int i = 1; i < count; ++i) {
        for (const auto& file : files_in(words[i])) {
            if (!replay(file)) return 1;
            ++replayed;
        }
    }
    std::printf("%d inputs were replayed and broke no promise\n", replayed);
    if (replayed == 0) std::fprintf(stderr, "usage: %s FILE|DIRECTORY ...\n", words[0]);
    return replayed == 0;
}
