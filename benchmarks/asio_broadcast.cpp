// Hands what the first connection sends on to all that came after it, on standalone Asio: the sends
// of a message are under way together, and the last to end has the next message read.
#include "sockets.h"

#include <array>
#include <asio.hpp>
#include <list>
#include <optional>

using asio::ip::tcp;

class audience {
public:
    audience(asio::io_context& context, int listener)
        : acceptor_(context, tcp::v4(), listener) {
        accept();
    }

private:
    void accept() {
        acceptor_.async_accept([this](asio::error_code failed, tcp::socket accepted) {
            if (!failed) take(std::move(accepted));
            accept();
        });
    }

    void take(tcp::socket accepted) {
        accepted.set_option(tcp::no_delay(true));
        if (!source_) {
            source_.emplace(std::move(accepted));
            read();
        } else {
            const char greets = greeting;
            asio::error_code failed;
            asio::write(accepted, asio::buffer(&greets, 1), failed);
            if (!failed) subscribers_.push_back(std::move(accepted));
        }
    }

    void read() {
        source_->async_read_some(asio::buffer(bytes_),
                                 [this](asio::error_code failed, std::size_t count) {
            if (failed) {
                source_.reset();
                subscribers_.clear();
            } else {
                send(count);
            }
        });
    }

    void send(std::size_t count) {
        waiting_ = subscribers_.size();
        if (waiting_ == 0) return read();
        for (auto& each : subscribers_) {
            asio::async_write(each, asio::buffer(bytes_, count),
                              [this, &each](asio::error_code failed, std::size_t) {
                if (failed) each.close(failed);
                if (--waiting_ > 0) return;
                subscribers_.remove_if([](const auto& left) { return !left.is_open(); });
                read();
            });
        }
    }

    tcp::acceptor acceptor_;
    std::optional<tcp::socket> source_;
    std::list<tcp::socket> subscribers_;
    std::size_t waiting_ = 0;
    std::array<char, buffer_size> bytes_;
};

int main(int argc, char** argv) {
    asio::io_context context(1);
    audience all(context, listen_as("Asio", argc, argv));
    context.run();
}
