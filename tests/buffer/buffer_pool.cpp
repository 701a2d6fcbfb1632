#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <coho.hpp>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

using coho::lease;
using coho::task;
using namespace std::chrono_literals;

namespace {

using any_scheduler = coho::scheduler<support::any_kernel>;

coho::buffer_pool& pool_of(std::size_t count, std::size_t size = 100) {
    auto& on = any_scheduler::current();
    on.use_buffers({.count = count, .size = size});
    return on.buffers();
}

/// Takes a buffer, and notes when it came.
task<> take_one(coho::buffer_pool* pool, std::vector<int>* order, int number) {
    auto taken = co_await pool->take();
    if (taken) order->push_back(number);
}

}  // namespace

TEST_CASE("a pool gives each of its buffers once, and then none", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& pool = pool_of(10, 100);
        std::vector<lease> leases;
        while (auto taken = pool.try_take()) leases.push_back(std::move(taken));
        CHECK(leases.size() == 10);
        CHECK(pool.count() == 10);
        CHECK(pool.leased() == 10);
        CHECK(pool.idle() == 0);
        for (std::size_t i = 0; i < leases.size(); ++i) {
            CHECK(leases[i].room().size() == 100);
            CHECK(leases[i].bytes().empty());
            std::ranges::fill(leases[i].room(), static_cast<std::byte>(i));
        }
        for (std::size_t i = 0; i < leases.size(); ++i) {
            const auto room = leases[i].room();
            CHECK(std::ranges::count(room, static_cast<std::byte>(i)) == 100);
        }
        leases.clear();
        CHECK(pool.leased() == 0);
        CHECK(pool.idle() == 10);
        co_await coho::yield();
    });
}

TEST_CASE("a lease moves, and goes home once", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& pool = pool_of(2);
        auto first = pool.try_take();
        first.fill(10);
        first.room()[3] = std::byte(7);
        auto second = std::move(first);
        CHECK_FALSE(first);
        CHECK(second.bytes().size() == 10);
        CHECK(second.bytes()[3] == std::byte(7));
        second.remove_prefix(3);
        CHECK(second.bytes().size() == 7);
        CHECK(second.bytes()[0] == std::byte(7));
        CHECK(pool.leased() == 1);
        second = pool.try_take();
        CHECK(pool.leased() == 1);
        second = {};
        CHECK(pool.leased() == 0);
        first.reset();
        second.reset();
        CHECK(pool.idle() == 2);
        co_await coho::yield();
    });
}

TEST_CASE("who waits for a buffer gets it in the order they came", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& pool = pool_of(1);
        std::vector<int> order;
        auto held = pool.try_take();
        coho::task_group group;
        for (int i = 0; i < 5; ++i) co_await group.spawn(take_one, &pool, &order, i);
        CHECK(pool.waiting() == 5);
        CHECK(order.empty());
        held.reset();
        // It went to the first of them, and not to who comes now.
        CHECK_FALSE(pool.try_take());
        co_await group.join();
        CHECK(order == std::vector{0, 1, 2, 3, 4});
        CHECK(pool.waiting() == 0);
        CHECK(pool.leased() == 0);
    });
}

TEST_CASE("who waits for a buffer stops when asked, and others get it", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& pool = pool_of(1);
        std::vector<int> order;
        auto held = pool.try_take();
        coho::task_group stays, leaves;
        co_await leaves.spawn(take_one, &pool, &order, 1);
        co_await stays.spawn(take_one, &pool, &order, 2);
        co_await leaves.spawn(take_one, &pool, &order, 3);
        auto late = co_await coho::timeout(1ms, pool.take());
        CHECK(support::reason_of(late) == coho::errc::timed_out);
        leaves.request_stop();
        co_await leaves.join();
        held.reset();
        co_await stays.join();
        CHECK(order == std::vector{2});
        CHECK(pool.leased() == 0);
    });
}

TEST_CASE("a buffer that was granted is kept although stop is asked", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& pool = pool_of(1);
        std::vector<int> order;
        auto held = pool.try_take();
        coho::task_group group;
        co_await group.spawn(take_one, &pool, &order, 1);
        held.reset();
        group.request_stop();
        co_await group.join();
        CHECK(order == std::vector{1});
        CHECK(pool.leased() == 0);
    });
}

TEST_CASE("leases that end on other threads go home, and those who wait go on", "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        constexpr int rounds = 200;
        auto& pool = pool_of(4);
        for (int round = 0; round < rounds; ++round) {
            std::vector<lease> leases;
            while (auto taken = pool.try_take()) leases.push_back(std::move(taken));
            CHECK(leases.size() == 4);
            auto half = std::vector<lease>(std::make_move_iterator(leases.begin()),
                                           std::make_move_iterator(leases.begin() + 2));
            leases.erase(leases.begin(), leases.begin() + 2);
            std::thread one([held = std::move(half)]() mutable { held.clear(); });
            std::thread other([held = std::move(leases)]() mutable { held.clear(); });
            for (int i = 0; i < 4; ++i) {
                auto taken = co_await pool.take();
                REQUIRE(taken);
                leases.push_back(std::move(*taken));
            }
            one.join();
            other.join();
        }
        CHECK(pool.leased() == 0);
    });
}

TEST_CASE("a lease that is on its way home when the scheduler ends gets there", "[pool]") {
    any_scheduler on;
    CHECK(on.run([]() -> task<> {
        auto held = pool_of(1).try_take();
        std::thread other([own = std::move(held)]() mutable { own.reset(); });
        other.join();
        co_return;
    }) == 0);
}

TEST_CASE("H18: a buffer that a kernel sends from goes home after the lease and every send",
          "[pool][H18]") {
    const bool lease_ends_first = GENERATE(true, false);
    support::run_on<support::any_kernel>([=]() -> task<> {
        auto& pool = pool_of(2);
        std::vector<int> order;
        auto held = pool.try_take();
        auto other = pool.try_take();
        coho::task_group group;
        co_await group.spawn(take_one, &pool, &order, 1);
        auto buffer = held.release();
        auto& sent = *buffer;
        pool.lend_sent(sent);
        pool.lend_sent(sent);
        pool.return_sent(sent);
        if (lease_ends_first) {
            buffer.reset();
            CHECK(pool.leased() == 1);
            CHECK(pool.sending() == 1);
            CHECK(pool.idle() == 0);
            pool.return_sent(sent);
        } else {
            pool.return_sent(sent);
            CHECK(pool.leased() == 2);
            CHECK(pool.sending() == 0);
            buffer.reset();
        }
        // Straight to who waits for one.
        CHECK(pool.waiting() == 0);
        CHECK(pool.sending() == 0);
        co_await group.join();
        CHECK(order.size() == 1);
        other.reset();
        CHECK(pool.leased() == 0);
        CHECK(pool.idle() == 2);
        auto again = pool.try_take();
        CHECK(again);
    });
}

TEST_CASE("a pool's memory is one slab, in buffers that do not share a line of the cache",
          "[pool]") {
    support::run_on<support::any_kernel>([]() -> task<> {
        auto& on = any_scheduler::current();
        on.use_buffers({.count = 3, .size = 100, .huge_pages = true});
        auto& pool = on.buffers();
        auto first = pool.try_take();
        auto second = pool.try_take();
        const auto begin = reinterpret_cast<std::uintptr_t>(pool.memory().data());
        for (const auto* each : {&first, &second}) {
            const auto place = reinterpret_cast<std::uintptr_t>(each->room().data());
            CHECK(place % 64 == 0);
            CHECK(place >= begin);
            CHECK(place + 100 <= begin + pool.memory().size());
        }
        co_await coho::yield();
    });
}
