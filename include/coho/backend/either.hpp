#pragma once

#include "concept.hpp"

#include "../buffer/lease.hpp"
#include "../core/check.hpp"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

namespace coho {

template <class First, class Second>
struct either_options {
    typename First::options first{};
    typename Second::options second{};
};

/// A kernel made of two, one of which is chosen once, when it is built: the first, or the second
/// where the first cannot be used here. The environment variable COHO_BACKEND names one of them and
/// is obeyed without falling back. Throws coho::failure where nothing is left.
template <class First, class Second>
class either {
public:
    using options = either_options<First, Second>;

    /// That of the kernel which is chosen; before it is known, of none.
    template <class Request>
    class state {
    public:
        using first_state = typename First::template state<Request>;
        using second_state = typename Second::template state<Request>;

        state() noexcept {}
        state(state&& other) noexcept { *this = std::move(other); }
        state& operator=(state&& other) noexcept {
            destroy();
            if (other.kind_ == kind::first) first() = std::move(other.first_);
            if (other.kind_ == kind::second) second() = std::move(other.second_);
            return *this;
        }
        ~state() { destroy(); }

        first_state& first() noexcept {
            if (kind_ == kind::none) std::construct_at(&first_);
            kind_ = kind::first;
            return first_;
        }
        second_state& second() noexcept {
            if (kind_ == kind::none) std::construct_at(&second_);
            kind_ = kind::second;
            return second_;
        }
        lease take_held() noexcept
            requires request::is_leased<Request>
        {
            return kind_ == kind::first ? first_.take_held() : second_.take_held();
        }

    private:
        enum class kind : unsigned char { none, first, second };

        void destroy() noexcept {
            if (kind_ == kind::first) std::destroy_at(&first_);
            if (kind_ == kind::second) std::destroy_at(&second_);
            kind_ = kind::none;
        }

        union {
            first_state first_;
            second_state second_;
        };
        kind kind_ = kind::none;
    };

    explicit either(const options& wanted = {}) {
        const char* variable = std::getenv("COHO_BACKEND");
        const std::string_view forced = variable ? variable : "";
        if (forced == Second::kernel_name) {
            second_.emplace(wanted.second);
            reason_ = "COHO_BACKEND asks for it";
        } else if (forced == First::kernel_name) {
            choose_forced_first(wanted.first);
        } else if (!forced.empty()) {
            throw failure({errc::invalid_argument,
                           {"cannot choose a kernel: COHO_BACKEND is \"", forced,
                            "\" but must be \"", First::kernel_name, "\" or \"",
                            Second::kernel_name, "\""}});
        } else {
            choose(wanted);
        }
    }
    either(const either&) = delete;
    either& operator=(const either&) = delete;

    static constexpr std::string_view kernel_name = "native";
    std::string_view name() const noexcept { return first_ ? first_->name() : second_->name(); }
    std::string_view reason() const noexcept { return reason_; }
    const time_point* virtual_clock() const noexcept {
        return first_ ? first_->virtual_clock() : second_->virtual_clock();
    }

    static error describe(int number) noexcept { return First::describe(number); }

    static accept_advice after_failed_accept(int number) noexcept {
        return First::after_failed_accept(number);
    }

    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        return chosen([&](auto& kernel) { return kernel.open(family, kind); });
    }
    int bind(handle socket, endpoint where) noexcept {
        return chosen([&](auto& kernel) { return kernel.bind(socket, where); });
    }
    int listen(handle socket, int backlog) noexcept {
        return chosen([&](auto& kernel) { return kernel.listen(socket, backlog); });
    }
    int attach(handle socket) noexcept {
        return chosen([&](auto& kernel) { return kernel.attach(socket); });
    }
    void detach(handle socket) noexcept {
        chosen([&](auto& kernel) { kernel.detach(socket); });
    }
    int shutdown(handle socket, direction side) noexcept {
        return chosen([&](auto& kernel) { return kernel.shutdown(socket, side); });
    }
    void disconnect(handle socket) noexcept {
        chosen([&](auto& kernel) { kernel.disconnect(socket); });
    }
    void close(handle socket) noexcept {
        chosen([&](auto& kernel) { kernel.close(socket); });
    }
    int reuse_address(handle socket) noexcept {
        return chosen([&](auto& kernel) { return kernel.reuse_address(socket); });
    }
    int v6_only(handle socket, bool only) noexcept {
        return chosen([&](auto& kernel) { return kernel.v6_only(socket, only); });
    }
    int batch_datagrams(handle socket) noexcept {
        return chosen([&](auto& kernel) { return kernel.batch_datagrams(socket); });
    }
    template <class Option>
    int set(handle socket, const Option& option) noexcept {
        return chosen([&](auto& kernel) { return kernel.set(socket, option); });
    }
    template <class Option>
    int get(handle socket, Option& option) noexcept {
        return chosen([&](auto& kernel) { return kernel.get(socket, option); });
    }
    endpoint local_endpoint(handle socket) noexcept {
        return chosen([&](auto& kernel) { return kernel.local_endpoint(socket); });
    }
    endpoint remote_endpoint(handle socket) noexcept {
        return chosen([&](auto& kernel) { return kernel.remote_endpoint(socket); });
    }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        return first_ ? first_->template start<Request>(each, state.first(), request)
                      : second_->template start<Request>(each, state.second(), request);
    }
    template <class Request>
    void cancel(operation& each, state<Request>& state) noexcept {
        if (first_) first_->template cancel<Request>(each, state.first());
        else second_->template cancel<Request>(each, state.second());
    }
    void retire(state<request::accept>& acceptor) noexcept {
        if (first_) first_->retire(acceptor.first());
        else second_->retire(acceptor.second());
    }
    void wait(deadline until, operation_queue& completed) noexcept {
        chosen([&](auto& kernel) { kernel.wait(until, completed); });
    }
    void prefer_large_pages(std::span<std::byte> memory) noexcept {
        chosen([&](auto& kernel) {
            if constexpr (requires { kernel.prefer_large_pages(memory); }) {
                kernel.prefer_large_pages(memory);
            }
        });
    }
    void wake() noexcept {
        chosen([](auto& kernel) { kernel.wake(); });
    }

private:
    template <class Function>
    decltype(auto) chosen(Function&& function) noexcept {
        return first_ ? function(*first_) : function(*second_);
    }

    void choose_forced_first(const typename First::options& wanted) {
        try {
            first_.emplace(wanted);
            reason_ = "COHO_BACKEND asks for it";
        } catch (const failure& refused) {
            throw failure(
                {refused.cause(),
                 {"COHO_BACKEND asks for ", First::kernel_name, ", but ", refused.what()}});
        }
    }
    void choose(const options& wanted) {
        try {
            first_.emplace(wanted.first);
            reason_ = "it works here and is the faster";
        } catch (const failure& refused) {
            second_.emplace(wanted.second);
            reason_ = refused.what();
        }
    }

    std::optional<First> first_;
    std::optional<Second> second_;
    std::string reason_;
};

}  // namespace coho
