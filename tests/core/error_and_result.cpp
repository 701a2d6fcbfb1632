#include "catch.hpp"
#include "support/child_process.hpp"

#include <coho/core/result.hpp>

#include <csignal>
#include <memory>
#include <set>

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
               Catch::Contains(std::system_category().message(1)));
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
