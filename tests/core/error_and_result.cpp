#include "catch.hpp"
#include "support/child_process.hpp"

#include <coho/core/result.hpp>

#include <csignal>
#include <memory>
#include <set>
#include <type_traits>

// Reasons are compared by the compiler where it can; an error is small enough to be passed about.
static_assert(coho::error(coho::errc::closed) == coho::errc::closed);
static_assert(coho::error(coho::errc::closed) != coho::errc::other);
static_assert(sizeof(coho::error) == 16);
static_assert(*coho::result<int>(7) == 7);
static_assert(!coho::result<int>(coho::errc::closed));
static_assert(coho::result<void>());
// A reason is never taken for a value, not even where numbers are easily made of anything.
static_assert(!coho::result<bool>(coho::errc::timed_out));
static_assert(std::is_copy_constructible_v<coho::result<std::string>>);
static_assert(!std::is_copy_constructible_v<coho::result<std::unique_ptr<int>>>);
static_assert(!std::is_convertible_v<coho::result<bool>, bool>);

namespace {

/// Counts those alive, so that one destroyed twice or not at all shows.
struct counted {
    explicit counted(int given) noexcept : value(given) { ++alive; }
    counted(const counted& other) noexcept : value(other.value) { ++alive; }
    ~counted() { --alive; }
    int value;
    static inline int alive = 0;
};

}  // namespace

TEST_CASE("every reason has a sentence of its own", "[error]") {
    std::set<std::string_view> sentences;
    for (int i = 0; i <= static_cast<int>(coho::errc::other); ++i) {
        const auto sentence = coho::describe(static_cast<coho::errc>(i));
        CHECK(sentence.size() > 5);
        CHECK(sentences.insert(sentence).second);
    }
}

TEST_CASE("an error says what was tried, where, and what happened", "[error]") {
    const coho::error plain(coho::errc::address_in_use, 98);
    const coho::error full(plain, {"cannot listen on ", "127.0.0.1:80"});
    CHECK(full.message() == "cannot listen on 127.0.0.1:80: " + plain.message());
    CHECK(full == coho::errc::address_in_use);
    CHECK(full != coho::errc::cancelled);
    CHECK(full.number() == 98);
    CHECK_THAT(coho::error(coho::errc::other, 1).message(),
               support::contains(std::system_category().message(1)));
}

TEST_CASE("the words of an error stay in its line, whatever they hold", "[error]") {
    const std::string_view words("a\0b\nc\x1b\x7f\xc3\xa9", 9);
    const coho::error why(coho::errc::timed_out, {"cannot look up \"", words, "\""});
    CHECK(why.message() == "cannot look up \"a?b?c??\xc3\xa9\": the time allowed has passed");
}

TEST_CASE("an error keeps its words when it is copied, moved and assigned", "[error]") {
    coho::error original({coho::errc::timed_out}, {"cannot connect"});
    coho::error copy(original);
    const auto words = original.message();
    CHECK(copy.message() == words);
    CHECK(original.message() == words);
    coho::error moved(std::move(original));
    CHECK(moved.message() == words);
    coho::error assigned(coho::errc::other);
    assigned = copy;
    copy = coho::errc::closed;
    CHECK(assigned.message() == words);
    CHECK(copy == coho::errc::closed);
}

TEST_CASE("a result is a value or an error", "[result]") {
    coho::result<int> value(7);
    REQUIRE(value);
    CHECK(*value == 7);
    CHECK(value.value() == 7);
    coho::result<int> failed(coho::errc::timed_out);
    REQUIRE_FALSE(failed);
    CHECK(failed.error() == coho::errc::timed_out);
    CHECK(std::move(failed).value_or(3) == 3);
    value = coho::errc::cancelled;
    CHECK(value.error() == coho::errc::cancelled);
    value = 9;
    CHECK(*value == 9);
}

TEST_CASE("value() throws what says what went wrong", "[result]") {
    coho::result<int> failed(coho::error({coho::errc::closed}, {"cannot read"}));
    try {
        (void)failed.value();
        FAIL("it did not throw");
    } catch (const coho::failure& thrown) {
        CHECK(thrown.cause() == coho::errc::closed);
        CHECK(std::string(thrown.what()) == failed.error().message());
    }
    CHECK_THROWS_AS(coho::result<void>(coho::errc::closed).value(), coho::failure);
    CHECK_NOTHROW(coho::result<void>().value());
}

TEST_CASE("a result may hold what can only be moved", "[result]") {
    coho::result<std::unique_ptr<int>> value(std::make_unique<int>(5));
    auto moved = std::move(value);
    REQUIRE(moved);
    CHECK(**moved == 5);
    const auto taken = std::move(moved).value();
    CHECK(*taken == 5);
}

TEST_CASE("a value that is not there, or an error that is not, ends the program", "[result]") {
    const auto no_value = support::run_in_child([] {
        coho::result<int> failed(coho::errc::closed);
        return *failed;
    });
    CHECK(no_value.signal == SIGABRT);
    CHECK(no_value.says("without a value"));
    const auto no_error = support::run_in_child([] {
        coho::result<int> value(1);
        return value.error() == coho::errc::closed ? 1 : 0;
    });
    CHECK(no_error.signal == SIGABRT);
}

TEST_CASE("what a result holds is destroyed exactly once", "[result]") {
    {
        const coho::error words({coho::errc::other}, {"words that lie on the heap"});
        coho::result<counted> value(counted(1));
        coho::result<counted> failed(words);
        CHECK(counted::alive == 1);
        auto copy = value;
        CHECK(copy->value == 1);
        CHECK(counted::alive == 2);
        copy = failed;
        CHECK(counted::alive == 1);
        CHECK(copy.error().message() == words.message());
        failed = value;
        CHECK(counted::alive == 2);
        CHECK(failed->value == 1);
        failed = std::move(copy);
        CHECK(failed.error().message() == words.message());
        auto& same = value;
        value = same;
        CHECK(value->value == 1);
    }
    CHECK(counted::alive == 0);
}

TEST_CASE("a constant result gives its value, or throws", "[result]") {
    const coho::result<std::string> value("text");
    CHECK(value.value() == "text");
    CHECK(*value == "text");
    CHECK(value->size() == 4);
    const coho::result<std::string> failed(coho::errc::closed);
    CHECK_FALSE(failed.has_value());
    CHECK_THROWS_AS(failed.value(), coho::failure);
}

TEST_CASE("the error of a result can be taken out, words and all", "[result]") {
    coho::result<void> failed(coho::error({coho::errc::closed}, {"cannot write"}));
    const auto words = failed.error().message();
    const coho::result<int> passed_on(std::move(failed).error());
    CHECK(passed_on.error().message() == words);
}

TEST_CASE("an error that is assigned brings its number with it", "[error]") {
    coho::error assigned(coho::errc::closed);
    assigned = coho::error(coho::errc::other, 5);
    CHECK(assigned.number() == 5);
}

TEST_CASE("value() of a result that is about to end throws as well", "[result]") {
    CHECK_THROWS_AS(coho::result<int>(coho::errc::closed).value(), coho::failure);
    CHECK(coho::result<int>(7).value() == 7);
}

TEST_CASE("an error that is not there cannot be taken out either", "[result]") {
    const auto of_value = support::run_in_child([] {
        return coho::result<int>(1).error() == coho::errc::closed ? 1 : 0;
    });
    CHECK(of_value.signal == SIGABRT);
    CHECK(of_value.says("has a value"));
    const auto of_success = support::run_in_child([] {
        const coho::result<void> success;
        return success.error() == coho::errc::closed ? 1 : 0;
    });
    CHECK(of_success.signal == SIGABRT);
    const auto taken_of_success = support::run_in_child([] {
        return coho::result<void>().error() == coho::errc::closed ? 1 : 0;
    });
    CHECK(taken_of_success.signal == SIGABRT);
}
