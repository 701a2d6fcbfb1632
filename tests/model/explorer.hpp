#pragma once

#include "memory.hpp"

#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <ucontext.h>

namespace model {

/// What came of all interleavings of a small program.
struct findings {
    std::size_t executions = 0;
    std::size_t cut_short = 0;  // those that were like one before from there on
    std::size_t most_steps = 0;
    std::map<std::string, std::size_t> outcomes;
    std::string failure;  // what went wrong and how it came to that, a sentence for each step
};

/// Runs a small program of up to three threads in every order of its steps, and at each load with
/// every value that it may find. A step is an operation on an atomic; what lies between two steps
/// commutes with other threads, or is a data race, which is found in any order.
///
/// Threads have stacks of their own, since the code under test is that of the library and knows
/// nothing of all this. The choices that led to an execution are replayed to come to the next one
/// (depth first). Orders that differ only in steps that commute are tried once (sleep sets:
/// Godefroid, Partial-Order Methods for the Verification of Concurrent Systems). A load commutes
/// with all that others do, once it is said which store it finds; so one that was tried sleeps on
/// until there is another store to find.
///
/// A thread that repeats, at the same line and with nothing in between, a load or an exchange that
/// changed nothing is taken to spin: it goes on when there is something new to find.
class explorer {
public:
    static inline explorer* active = nullptr;

    /// Without reduction every order is tried, for those who doubt the paragraph above.
    explorer(std::vector<std::string> threads, std::vector<std::string> places, bool reduces)
        : thread_names_(std::move(threads)), place_names_(std::move(places)), reduces_(reduces) {
        thread_names_.insert(thread_names_.begin(), "the set-up");
        for (auto& each : threads_) each.stack = std::make_unique<std::byte[]>(stack_size);
        before_ = std::exchange(active, this);
    }
    explorer(const explorer&) = delete;
    ~explorer() { active = before_; }

    template <class World>
    findings explore(const std::vector<void (World::*)()>& bodies) {
        alignas(World) std::byte room[sizeof(World)];
        do {
            begin(static_cast<int>(bodies.size()));
            auto* world = new (room) World;
            auto run = [&](int thread) { (world->*bodies[std::size_t(thread) - 1])(); };
            const bool ended = run_threads(run);
            found_.most_steps = std::max(found_.most_steps, steps_.size());
            if (!ended && failure_.empty()) {
                ++found_.cut_short;
            } else if (ended) {
                ++found_.executions;
                memory_.join();
                const std::string outcome = world->outcome();
                if (failure_.empty()) ++found_.outcomes[outcome];
                world->~World();
            }
        } while (failure_.empty() && advance());
        if (!failure_.empty()) found_.failure = story();
        return std::move(found_);
    }

    // For what is shared.
    template <class T>
    void make(const void* address, T value, bool plain) {
        memory_.make(running_, address, encode(value),
                     sizeof(T) == 8 ? ~number(0) : (number(1) << 8 * sizeof(T)) - 1, plain,
                     std::is_pointer_v<T>);
        look_for_faults();
    }
    void end(const void* address) {
        memory_.end(running_, address);
        look_for_faults();
    }
    void read_plain(const void* address) {
        memory_.read_plain(running_, address);
        look_for_faults();
    }
    void write_plain(const void* address) {
        memory_.write_plain(running_, address);
        look_for_faults();
    }
    number step(const void* address, request wanted) {
        wanted.place = memory_.find(address);
        if (running_ != 0) {
            threads_[std::size_t(running_)].wanted = wanted;
            go_on();
        }
        return take(wanted);
    }

    /// For the models: one of so many ways, each of which is tried.
    int choose(int count) { return decide(count); }
    void expect(bool holds, const char* words) {
        if (!holds) fail(words);
    }

    template <class T>
    static number encode(T value) {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(number));
        number bits = 0;
        std::memcpy(&bits, &value, sizeof value);
        return bits;
    }
    template <class T>
    static T decode(number bits) {
        T value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }

private:
    static constexpr std::size_t stack_size = 128 * 1024;
    static constexpr std::size_t too_many_steps = 2000;

    struct model_thread {
        ucontext_t context;
        std::unique_ptr<std::byte[]> stack;
        bool has_ended = true;
        request wanted{};
        // The step before, for those who spin.
        bool may_spin = false;
        request last{};
        std::uint16_t last_index = 0;
        int tried = -1;  // the latest store that need not be found again
    };
    using indexes = std::array<std::uint16_t, most_threads>;
    /// Threads, as bits, that need not go, since what they would do was tried; for one that loads,
    /// up to a store.
    struct sleepers {
        unsigned who = 0;
        indexes tried{};
    };
    struct choice {
        bool of_threads;
        unsigned chosen;
        unsigned count;  // of a value: how many there are
        unsigned awake;  // of a thread: who could go, as bits
        sleepers asleep;
        indexes latest;  // what those who go could find
    };
    struct taken {
        int thread;
        request wanted;
        std::uint16_t index, latest;
        number found;
    };

    static unsigned bit(int thread) { return 1U << thread; }

    static void enter() {
        auto& self = *active;
        const int thread = self.running_;
        self.run_(self.body_, thread);
        self.threads_[std::size_t(thread)].has_ended = true;
        self.go_on();
    }

    void begin(int threads) {
        memory_.reset();
        steps_.clear();
        running_ = 0;
        count_ = threads;
        depth_ = 0;
        asleep_ = {};
    }

    template <class Run>
    bool run_threads(Run& run) {
        memory_.fork();
        body_ = &run;
        run_ = [](void* body, int thread) { (*static_cast<Run*>(body))(thread); };
        starting_ = true;
        complete_ = false;
        for (int i = 1; i <= count_ && failure_.empty(); ++i) set_out(i);
        starting_ = false;
        if (failure_.empty()) go_on();
        return complete_ && failure_.empty();
    }

    void set_out(int thread) {
        auto& each = threads_[std::size_t(thread)];
        each.has_ended = each.may_spin = false;
        ::getcontext(&each.context);
        each.context.uc_stack.ss_sp = each.stack.get();
        each.context.uc_stack.ss_size = stack_size;
        each.context.uc_link = nullptr;
        ::makecontext(&each.context, &enter, 0);
        switch_to(thread);
    }
    void switch_to(int thread) {
        const int from = std::exchange(running_, thread);
        if (from == thread) return;
        ::swapcontext(&threads_[std::size_t(from)].context, &threads_[std::size_t(thread)].context);
    }
    /// Lets the next thread take its step; returns when it is the turn of the one that calls.
    void go_on() { switch_to(starting_ ? 0 : next_thread()); }

    bool waits(int thread) const {
        const auto& each = threads_[std::size_t(thread)];
        return spins(each) && each.last_index == memory_.at(each.wanted.place).latest();
    }
    static bool spins(const model_thread& each) {
        return each.may_spin && each.last.what == each.wanted.what &&
               each.last.place == each.wanted.place &&
               each.last.from.line() == each.wanted.from.line() &&
               each.last.from.column() == each.wanted.from.column();
    }
    // A sequentially consistent load is part of one order with others, so it does not.
    static bool commutes(const request& each) {
        return each.what == action::load && each.order != std::memory_order_seq_cst;
    }
    /// Whether it makes no difference which of the steps comes first.
    static bool commute(const request& one, const request& other) {
        return one.place != other.place || commutes(one) || commutes(other);
    }
    bool sleeps(int thread) const {
        if (!(asleep_.who & bit(thread))) return false;
        const auto& wanted = threads_[std::size_t(thread)].wanted;
        return !commutes(wanted) ||
               asleep_.tried[std::size_t(thread)] == memory_.at(wanted.place).latest();
    }

    /// 0 where the execution ends here.
    int next_thread() {
        unsigned able = 0, unfinished = 0, awake = 0;
        indexes latest{};
        for (int i = 1; i <= count_; ++i) {
            if (threads_[std::size_t(i)].has_ended) continue;
            unfinished |= bit(i);
            if (waits(i)) continue;
            able |= bit(i);
            if (!sleeps(i)) awake |= bit(i);
            latest[std::size_t(i)] = memory_.at(threads_[std::size_t(i)].wanted.place).latest();
        }
        complete_ = !unfinished;
        if (complete_) return 0;
        if (!able) {
            set_failure("all threads that have not ended wait, and nobody will wake them");
            return 0;
        }
        if (!awake) return 0;
        int chosen = awake & bit(running_) ? running_ : std::countr_zero(awake);
        // Where there is no choice none is kept.
        if (!std::has_single_bit(awake)) {
            if (depth_ == path_.size())
                path_.push_back({true, unsigned(chosen), 0, awake, asleep_, latest});
            const auto& here = path_[depth_++];
            chosen = int(here.chosen);
            asleep_ = here.asleep;
        }
        auto& next = threads_[std::size_t(chosen)];
        next.tried = asleep_.who & bit(chosen) ? asleep_.tried[std::size_t(chosen)] : -1;
        asleep_.who &= ~bit(chosen);
        for (int i = 1; i <= count_; ++i) {
            if (!reduces_ || !commute(threads_[std::size_t(i)].wanted, next.wanted))
                asleep_.who &= ~bit(i);
        }
        return chosen;
    }

    int decide(int count) {
        if (count == 1) return 0;
        if (depth_ == path_.size()) path_.push_back({false, 0, unsigned(count), 0, {}, {}});
        return int(path_[depth_++].chosen);
    }
    /// To the next choice that was not made yet; false where there is none.
    bool advance() {
        for (; !path_.empty(); path_.pop_back()) {
            auto& last = path_.back();
            if (!last.of_threads) {
                if (++last.chosen < last.count) return true;
                continue;
            }
            last.asleep.who |= bit(int(last.chosen));
            last.asleep.tried[last.chosen] = last.latest[last.chosen];
            last.awake &= ~bit(int(last.chosen));
            if (last.awake) {
                last.chosen = unsigned(std::countr_zero(last.awake));
                return true;
            }
        }
        return false;
    }

    number take(const request& wanted) {
        auto& self = threads_[std::size_t(running_)];
        int after = -1;
        if (running_ != 0 && wanted.what == action::load)
            after = std::max(self.tried, spins(self) ? self.last_index : -1);
        memory_.findable(running_, wanted, after, findable_);
        const auto index = findable_[std::size_t(decide(int(findable_.size())))];
        const auto latest = memory_.at(wanted.place).latest();
        const number found = memory_.take(running_, wanted, index);
        steps_.push_back({running_, wanted, index, latest, found});
        self.last = wanted;
        self.last_index = wanted.what == action::load ? index : memory_.at(wanted.place).latest();
        self.may_spin = wanted.what == action::load ||
                        (wanted.what == action::exchange && found == wanted.value);
        look_for_faults();
        if (steps_.size() == too_many_steps) fail("the threads come to no end");
        return found;
    }

    void look_for_faults() {
        if (!memory_.fault().empty()) fail(memory_.fault());
    }
    void set_failure(const std::string& words) {
        if (failure_.empty()) failure_ = words;
    }
    /// The execution is left where it stands; what its threads have on their stacks is nothing that
    /// must be destroyed.
    void fail(const std::string& words) {
        set_failure(words);
        if (running_ != 0) switch_to(0);
    }

    // The story of the failure.
    std::string name_of_place(int index) const {
        return std::size_t(index) < place_names_.size() ? place_names_[std::size_t(index)]
                                                        : "place " + std::to_string(index);
    }
    std::string words_of(const memory::place& where, number value) {
        if (!where.is_pointer) return std::to_string(static_cast<std::int32_t>(value));
        if (value == 0) return "null";
        const auto known = objects_.emplace(value, objects_.size() + 1).first;
        return "object " + std::to_string(known->second);
    }
    std::string sentence_of(const taken& step) {
        static constexpr const char* orders[] = {"relaxed", "consume", "acquire",
                                                 "release", "acq_rel", "seq_cst"};
        const auto& where = memory_.at(step.wanted.place);
        const auto name = name_of_place(step.wanted.place);
        const auto found = words_of(where, step.found);
        const auto value = words_of(where, step.wanted.value);
        auto order = step.wanted.order;
        auto text = thread_names_[std::size_t(step.thread)] + " ";
        switch (step.wanted.what) {
        case action::load: text += "reads " + found + " from " + name; break;
        case action::store: text += "stores " + value + " in " + name; break;
        case action::exchange: text += "puts " + value + " for " + found + " in " + name; break;
        case action::add: text += "adds " + value + " to " + found + " in " + name; break;
        case action::compare_exchange:
            if (step.found == step.wanted.expected) {
                text += "puts " + value + " for " + found + " in " + name + ", as expected";
            } else {
                text += "finds " + found + " in " + name + " and leaves it";
                order = step.wanted.order_if_unequal;
            }
        }
        if (step.index != step.latest && step.wanted.what != action::store)
            text += ", unaware of " + std::to_string(step.latest - step.index) + " later";
        const std::string file = step.wanted.from.file_name();
        return text + " (" + orders[int(order)] + ", " + file.substr(file.rfind('/') + 1) + ":" +
               std::to_string(step.wanted.from.line()) + ")\n";
    }
    std::string story() {
        std::string text = failure_ + "\n";
        for (std::size_t at; (at = text.find('{')) != text.npos;)
            text.replace(at, 3, thread_names_[std::size_t(text[at + 1] - '0')]);
        if (const auto at = text.find('['); at != text.npos) {
            const auto length = text.find(']') - at + 1;
            text.replace(at, length, name_of_place(std::stoi(text.substr(at + 1))));
        }
        text += "after " + std::to_string(found_.executions) + " executions, by these steps:\n";
        for (std::size_t i = 0; i < steps_.size(); ++i)
            text += std::to_string(i + 1) + ". " + sentence_of(steps_[i]);
        return text;
    }

    memory memory_;
    memory::indexes findable_;
    std::array<model_thread, most_threads> threads_{};
    std::vector<std::string> thread_names_, place_names_;
    bool reduces_;
    int count_ = 0;
    int running_ = 0;
    bool starting_ = false, complete_ = false;
    void* body_ = nullptr;
    void (*run_)(void*, int) = nullptr;
    std::vector<choice> path_;
    std::size_t depth_ = 0;
    sleepers asleep_;
    std::vector<taken> steps_;
    std::map<number, std::size_t> objects_;
    std::string failure_;
    findings found_;
    explorer* before_ = nullptr;
};

/// A thread of a model, and what the story of a failure calls it.
template <class World>
struct thread_of {
    const char* name;
    void (World::*body)();
};

/// Makes a World for each execution, and runs its threads. Where all have ended its outcome() is
/// noted. The places are named in the order in which the World makes them.
template <class World>
findings explore(const std::vector<thread_of<World>>& threads, std::vector<std::string> places = {},
                 bool reduces = true) {
    std::vector<std::string> names;
    std::vector<void (World::*)()> bodies;
    for (const auto& each : threads) {
        names.push_back(each.name);
        bodies.push_back(each.body);
    }
    return explorer(std::move(names), std::move(places), reduces).explore<World>(bodies);
}

/// For whoever reads what was tried, and for tools/reliability.
inline void tell(const char* model, const findings& found) {
    std::printf("model \"%s\": %zu executions, %zu cut short as known, at most %zu steps\n", model,
                found.executions, found.cut_short, found.most_steps);
}

}  // namespace model
