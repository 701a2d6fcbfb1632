#include "support/world.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int threads = 4;
constexpr int pieces_each = 25'000;

/// Waits for stop, which whoever posts the last piece asks for.
template <class Backend>
coho::task<> receive_all(std::atomic<coho::event_loop*>& here) {
    coho::stop_source all_there;
    auto& own = co_await coho::inherited();
    coho::environment inside{own.loop, &all_there};
    int received = 0;
    here = own.loop;
    std::vector<std::thread> posters;
    for (int i = 0; i < threads; ++i) {
        posters.emplace_back([&] {
            for (int piece = 0; piece < pieces_each; ++piece) {
                here.load()->post([&] {
                    if (++received == threads * pieces_each) all_there.request_stop();
                });
                // Now and then the loop has the time to fall asleep.
                if (piece % 1000 == 0) std::this_thread::yield();
            }
        });
    }
    struct sleeping_under : coho::await_in_task<sleeping_under> {
        sleeping_under(coho::environment& given) : inside(&given), wait(coho::never) {}
        coho::started start(coho::environment&, std::coroutine_handle<> waiter) {
            return wait.start(*inside, waiter);
        }
        bool finish() { return wait.finish(); }
        coho::environment* inside;
        coho::sleeping wait;
    };
    co_await sleeping_under(inside);
    for (auto& each : posters) each.join();
    CHECK(received == threads * pieces_each);
}

coho::task<> wait_for_stop() { co_await coho::sleep_until(coho::never); }

}  // namespace

TEMPLATE_TEST_CASE("nothing that other threads post is lost, nor the wake for it", "[post][H10]",
                   coho::epoll, coho::io_uring) {
    std::atomic<coho::event_loop*> here = nullptr;
    support::run_on<TestType>(receive_all<TestType>, here);
}

TEMPLATE_TEST_CASE("H10: another thread asks to stop at any moment", "[post][H10]", coho::epoll,
                   coho::io_uring) {
    for (int round = 0; round < 300; ++round) {
        coho::scheduler<TestType> world;
        std::thread asker([&] {
            for (int i = 0; i < round * 50; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
            world.request_stop();
        });
        CHECK(world.run(wait_for_stop) == 0);
        asker.join();
    }
}

TEST_CASE("what is posted too late is destroyed without being called", "[post]") {
    auto owned = std::make_shared<int>(0);
    {
        coho::scheduler<coho::epoll> world;
        world.post([owned] { ++*owned; });
    }
    CHECK(*owned == 0);
    CHECK(owned.use_count() == 1);
}

TEST_CASE("H34: two schedulers on two threads hand a count to and fro", "[post][H34]") {
    constexpr int rounds = 10'000;
    struct table {
        std::atomic<coho::event_loop*> loops[2] = {};
        std::atomic<int> count = 0;

        void hand_over(int to) {
            loops[to].load()->post([this, to] {
                if (++count < rounds) {
                    hand_over(1 - to);
                } else {
                    loops[0].load()->request_stop();
                    loops[1].load()->request_stop();
                }
            });
        }
    } shared;
    static constexpr auto player = [](table& shared, int own) -> coho::task<> {
        shared.loops[own] = coho::event_loop::current();
        while (!shared.loops[1 - own].load()) co_await coho::yield();
        if (own == 0) shared.hand_over(1);
        co_await coho::sleep_until(coho::never);
    };
    // Both loops live until both threads are done with them.
    std::atomic<int> ended = 0;
    const auto body = [&](int own) {
        coho::scheduler<coho::epoll> world;
        world.run(player, shared, own);
        ++ended;
        while (ended != 2) std::this_thread::yield();
    };
    std::thread other([&] { body(1); });
    body(0);
    other.join();
    CHECK(shared.count == rounds);
}
