#pragma once

#include "stream_bytes.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace support {

/// A file with the bytes of stream_bytes.hpp, for as long as this lives.
class temporary_file {
public:
    explicit temporary_file(std::size_t size)
        : path_((std::filesystem::temp_directory_path() /
                 ("coho-test-" + std::to_string(std::random_device()())))
                    .string()) {
        std::vector<std::byte> bytes(size);
        fill(bytes, 0);
        std::ofstream(path_, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(size));
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    ~temporary_file() {
        std::error_code unheeded;
        std::filesystem::remove(path_, unheeded);
    }

    const char* path() const noexcept { return path_.c_str(); }
    /// Makes it longer, or shorter; what is new are zeros, which cost no room.
    void resize(std::uint64_t size) const { std::filesystem::resize_file(path_, size); }

private:
    std::string path_;
};

}  // namespace support
