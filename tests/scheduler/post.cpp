#include "support/world.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int threads = 4;
constexpr int pieces_each = 25'000;

/// Work that lies with the one who posts it, and counts how often it was finished.
struct counted_work : coho::event_loop::posted_work {
    counted_work() { finish = &counted_work::finished; }
    static void finished(coho::event_loop::posted_work& work, bool run) {
        auto& self = static_cast<counted_work&>(work);
        ++(run ? self.done : self.dropped);
    }
    int done = 0;
    int dropped = 0;
};

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
coho::task<> wait_for_turns() {
    for (int i = 0; i < 3; ++i) co_await coho::yield();
}

}  // namespace

TEMPLATE_TEST_CASE("nothing that other threads post is lost, nor the wake for it", "[post][H10]",
                   COHO_TEST_REAL_KERNELS) {
    std::atomic<coho::event_loop*> here = nullptr;
    support::run_on<TestType>(receive_all<TestType>, here);
}

TEMPLATE_TEST_CASE("H10: another thread asks to stop at any moment", "[post][H10]",
                   COHO_TEST_REAL_KERNELS) {
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
        coho::scheduler<support::any_kernel> world;
        world.post([owned] { ++*owned; });
    }
    CHECK(*owned == 0);
    CHECK(owned.use_count() == 1);
}

TEMPLATE_TEST_CASE("H34: two schedulers on two threads hand a count to and fro", "[post][H34]",
                   COHO_TEST_REAL_KERNELS) {
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
        coho::scheduler<TestType> world;
        world.run(player, shared, own);
        ++ended;
        while (ended != 2) std::this_thread::yield();
    };
    std::thread other([&] { body(1); });
    body(0);
    other.join();
    CHECK(shared.count == rounds);
}

TEMPLATE_TEST_CASE("what one thread posts is done in its order", "[post]",
                   COHO_TEST_REAL_KERNELS) {
    static constexpr auto receive = [](std::vector<int>& order) -> coho::task<> {
        auto* const here = coho::event_loop::current();
        std::thread other([&order, here] {
            for (int i = 0; i < 2000; ++i) here->post([&order, i] { order.push_back(i); });
            here->request_stop();
        });
        co_await coho::sleep_until(coho::never);
        other.join();
    };
    std::vector<int> order;
    {
        coho::scheduler<TestType> world;
        CHECK(world.run(receive, order) == 0);
        // Stop may have overtaken the last of them; they are there in the next run.
        CHECK(world.run(wait_for_turns) == 0);
    }
    REQUIRE(order.size() == 2000);
    CHECK(std::is_sorted(order.begin(), order.end()));
}

TEMPLATE_TEST_CASE("H7: work posted while the loop ends is finished once, done or dropped",
                   "[post][H7]", COHO_TEST_REAL_KERNELS) {
    constexpr std::size_t pieces = 64;
    int done = 0, dropped = 0, wrong = 0;
    for (int round = 0; round < 200; ++round) {
        std::vector<counted_work> work(pieces);
        {
            coho::scheduler<TestType> world;
            std::thread other([&] {
                for (std::size_t i = 0; i + 1 < pieces; ++i) {
                    world.post(work[i]);
                    if (static_cast<int>(i) == round % 63) world.request_stop();
                }
            });
            CHECK(world.run(wait_for_stop) == 0);
            other.join();
            // Nobody runs it any more.
            world.post(work.back());
        }
        CHECK(work.back().dropped == 1);
        for (const auto& each : work) {
            done += each.done;
            dropped += each.dropped;
            if (each.done + each.dropped != 1) ++wrong;
        }
    }
    CHECK(wrong == 0);
    CHECK(done + dropped == 200 * 64);
}

TEMPLATE_TEST_CASE("H7: a loop that ends waits for the thread that still posts to it",
                   "[post][H7]", COHO_TEST_REAL_KERNELS) {
    static constexpr auto tell_and_wait = [](std::atomic<coho::event_loop*>& here) -> coho::task<> {
        here = coho::event_loop::current();
        co_await coho::sleep_until(coho::never);
    };
    for (int round = 0; round < 300; ++round) {
        std::atomic<coho::event_loop*> here = nullptr;
        std::thread other([&] {
            while (!here) std::this_thread::yield();
            auto& loop = *here.load();
            // What is posted ends the loop, maybe before post() has returned.
            loop.post([&loop] { loop.request_stop(); });
        });
        {
            coho::scheduler<TestType> world;
            CHECK(world.run(tell_and_wait, here) == 0);
        }
        other.join();
    }
}

TEST_CASE("posted work may post again, and others have their turn between", "[post]") {
    struct chain {
        coho::event_loop* loop;
        int left;
        void go_on() {
            if (left-- > 0) loop->post([this] { go_on(); });
            else loop->request_stop();
        }
    };
    static constexpr auto program = []() -> coho::task<> {
        chain posted{coho::event_loop::current(), 1000};
        posted.go_on();
        int turns = 0;
        for (bool stop = false; !stop; stop = co_await coho::stop_requested()) {
            ++turns;
            co_await coho::yield();
        }
        CHECK(turns >= 1000);
    };
    support::run(program);
}

TEMPLATE_TEST_CASE("each thread may have a scheduler of its own", "[post][H34]",
                   COHO_TEST_REAL_KERNELS) {
    static constexpr auto child = [](std::atomic<int>& ended) -> coho::task<> {
        co_await coho::sleep(1us);
        co_await coho::yield();
        ++ended;
    };
    static constexpr auto parent = [](std::atomic<int>& ended) -> coho::task<> {
        coho::task_group group({.max_live = 8});
        for (int i = 0; i < 200; ++i) co_await group.spawn(child, std::ref(ended));
        co_await group.join();
    };
    std::atomic<int> ended = 0;
    std::atomic<std::size_t> frames_left = 0;
    std::vector<std::thread> each;
    for (int i = 0; i < threads; ++i) {
        each.emplace_back([&] {
            coho::scheduler<TestType> world;
            world.run(parent, ended);
            frames_left += world.frames().live();
        });
    }
    for (auto& thread : each) thread.join();
    CHECK(ended == threads * 200);
    CHECK(frames_left == 0);
}
