#include "catch.hpp"

#include <coho/core/growing_array.hpp>
#include <coho/core/operation.hpp>

#include <algorithm>
#include <vector>

namespace {

std::vector<coho::resumption*> drained(coho::resumption_queue& queue) {
    std::vector<coho::resumption*> order;
    while (!queue.empty()) order.push_back(&queue.pop());
    return order;
}

}  // namespace

TEST_CASE("the queue gives back first what came first", "[queue]") {
    coho::resumption nodes[3];
    coho::resumption_queue queue;
    CHECK(queue.empty());
    for (auto& each : nodes) queue.push(each);
    CHECK(drained(queue) == std::vector{&nodes[0], &nodes[1], &nodes[2]});
    queue.push(nodes[1]);
    CHECK(drained(queue) == std::vector{&nodes[1]});
}

TEST_CASE("one element can be taken from anywhere in the queue", "[queue]") {
    for (int removed = 0; removed < 3; ++removed) {
        coho::resumption nodes[4];
        coho::resumption_queue queue;
        for (int i = 0; i < 3; ++i) queue.push(nodes[i]);
        CHECK(queue.remove(nodes[removed]));
        CHECK_FALSE(queue.remove(nodes[removed]));
        queue.push(nodes[3]);
        const auto order = drained(queue);
        REQUIRE(order.size() == 3);
        CHECK(order.back() == &nodes[3]);
        CHECK(std::count(order.begin(), order.end(), &nodes[removed]) == 0);
    }
}

TEST_CASE("a queue takes all of another, empty or not", "[queue]") {
    coho::resumption nodes[3];
    coho::resumption_queue first, second;
    first.take_all(second);
    CHECK(first.empty());
    second.push(nodes[0]);
    first.take_all(second);
    CHECK(second.empty());
    second.push(nodes[1]);
    second.push(nodes[2]);
    first.take_all(second);
    CHECK(drained(first) == std::vector{&nodes[0], &nodes[1], &nodes[2]});
}

TEST_CASE("a completed operation is no longer pending", "[queue]") {
    coho::operation operation;
    coho::operation_queue completed;
    operation.pending = true;
    operation.complete(12, completed);
    CHECK_FALSE(operation.pending);
    CHECK(operation.outcome == 12);
    CHECK(&completed.pop() == &operation);
}

TEST_CASE("what is new in a growing array is zero, and what was there stays", "[queue]") {
    coho::growing_array<int> numbers;
    CHECK(numbers.size() == 0);
    REQUIRE(numbers.grow(3));
    for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == 0);
    numbers[2] = 7;
    REQUIRE(numbers.grow(1000));
    CHECK(numbers[2] == 7);
    CHECK(numbers[999] == 0);
}

TEST_CASE("the only element of a queue can be taken out, and another put in", "[queue]") {
    coho::resumption first, second;
    coho::resumption_queue queue;
    CHECK_FALSE(queue.remove(first));
    queue.push(first);
    CHECK(queue.remove(first));
    CHECK(queue.empty());
    queue.push(second);
    CHECK(drained(queue) == std::vector{&second});
}

TEST_CASE("a queue that was taken from can be filled again", "[queue]") {
    coho::resumption nodes[4];
    coho::resumption_queue from, to;
    from.push(nodes[0]);
    to.take_all(from);
    from.push(nodes[1]);
    to.push(nodes[2]);
    to.take_all(from);
    to.push(nodes[3]);
    CHECK(from.empty());
    CHECK(drained(to) == std::vector{&nodes[0], &nodes[2], &nodes[1], &nodes[3]});
}

TEST_CASE("a growing array never shrinks", "[queue]") {
    coho::growing_array<int> numbers;
    REQUIRE(numbers.grow(8));
    numbers[7] = 5;
    REQUIRE(numbers.grow(3));
    CHECK(numbers.size() == 8);
    CHECK(numbers[7] == 5);
}
