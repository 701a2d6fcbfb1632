#pragma once

#include "check.hpp"
#include "error.hpp"

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace coho {

/// A value, or the error that stands in its place. Must not be ignored.
template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;

    template <class U = T>
        requires(std::constructible_from<T, U &&> &&
                 !std::same_as<std::remove_cvref_t<U>, result> &&
                 !std::same_as<std::remove_cvref_t<U>, coho::error>)
    constexpr result(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>)
        : value_(std::forward<U>(value)), has_value_(true) {}
    constexpr result(coho::error why) noexcept : error_(std::move(why)), has_value_(false) {}
    constexpr result(errc why) noexcept : result(coho::error(why)) {}

    constexpr result(const result& other)
        requires std::copy_constructible<T>
        : has_value_(other.has_value_) {
        if (has_value_) std::construct_at(std::addressof(value_), other.value_);
        else std::construct_at(std::addressof(error_), other.error_);
    }
    constexpr result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : has_value_(other.has_value_) {
        if (has_value_) std::construct_at(std::addressof(value_), std::move(other.value_));
        else std::construct_at(std::addressof(error_), std::move(other.error_));
    }
    constexpr result& operator=(result other) noexcept {
        destroy();
        std::construct_at(this, std::move(other));
        return *this;
    }
    constexpr ~result() { destroy(); }

    constexpr explicit operator bool() const noexcept { return has_value_; }
    constexpr bool has_value() const noexcept { return has_value_; }

    constexpr T& operator*() & noexcept { return checked(); }
    constexpr const T& operator*() const& noexcept {
        return const_cast<result*>(this)->checked();
    }
    constexpr T&& operator*() && noexcept { return std::move(checked()); }
    constexpr T* operator->() noexcept { return std::addressof(checked()); }
    constexpr const T* operator->() const noexcept { return std::addressof(**this); }

    /// The value; throws coho::failure where there is none.
    constexpr T& value() & {
        if (!has_value_) throw failure(error_);
        return value_;
    }
    constexpr const T& value() const& { return const_cast<result*>(this)->value(); }
    constexpr T value() && {
        if (!has_value_) throw failure(error_);
        return std::move(value_);
    }

    template <class U>
    constexpr T value_or(U&& otherwise) && {
        return has_value_ ? std::move(value_) : T(std::forward<U>(otherwise));
    }

    /// The error; only where there is no value.
    constexpr const coho::error& error() const& noexcept {
        check(!has_value_, "error() was called on a result that has a value");
        return error_;
    }
    constexpr coho::error error() && noexcept {
        check(!has_value_, "error() was called on a result that has a value");
        return std::move(error_);
    }

private:
    constexpr T& checked() noexcept {
        check(has_value_, "a result was used without a value; test it first, or call value()");
        return value_;
    }
    constexpr void destroy() noexcept {
        if (has_value_) std::destroy_at(std::addressof(value_));
        else std::destroy_at(std::addressof(error_));
    }

    union {
        T value_;
        coho::error error_;
    };
    bool has_value_;
};

/// Success without a value, or an error.
template <>
class [[nodiscard]] result<void> {
public:
    using value_type = void;

    constexpr result() noexcept : error_(errc::none) {}
    constexpr result(coho::error why) noexcept : error_(std::move(why)) {}
    constexpr result(errc why) noexcept : error_(why) {}

    constexpr explicit operator bool() const noexcept { return error_ == errc::none; }
    constexpr bool has_value() const noexcept { return error_ == errc::none; }

    /// Throws coho::failure where this is an error.
    void value() const {
        if (!has_value()) throw failure(error_);
    }

    constexpr const coho::error& error() const& noexcept {
        check(!has_value(), "error() was called on a result that has a value");
        return error_;
    }
    constexpr coho::error error() && noexcept {
        check(!has_value(), "error() was called on a result that has a value");
        return std::move(error_);
    }

private:
    coho::error error_;
};

template <class T>
constexpr bool is_result = false;
template <class T>
constexpr bool is_result<result<T>> = true;

}  // namespace coho
