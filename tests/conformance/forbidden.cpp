// Where io_uring is forbidden: run by Meson under forbid_io_uring, hidden otherwise.

#include "support/child_process.hpp"
#include "support/connected.hpp"

#include <cstdlib>

using coho::errc;
using coho::task;

namespace {

/// The reason for which a scheduler over this kernel cannot be had; errc::none where it can.
template <class Backend>
coho::error refusal_of() {
    try {
        coho::scheduler<Backend> loop;
        return errc::none;
    } catch (const coho::failure& refused) {
        return refused.cause();
    }
}

/// What native is made to obey, until it goes.
class forced_backend {
public:
    explicit forced_backend(const char* name) { ::setenv("COHO_BACKEND", name, 1); }
    forced_backend(const forced_backend&) = delete;
    ~forced_backend() { ::unsetenv("COHO_BACKEND"); }
};

task<> do_nothing() { co_return; }

}  // namespace

TEST_CASE("H21: where io_uring is forbidden the native kernel is epoll, and says why",
          "[.forbidden]") {
    coho::scheduler<coho::native> loop;
    CHECK(loop.backend_name() == "epoll");
    CHECK_THAT(std::string(loop.backend_reason()), support::contains("cannot use io_uring"));
    CHECK_THAT(std::string(loop.backend_reason()), support::contains("epoll works everywhere"));
}

TEST_CASE("H21: where io_uring is forbidden, asking for it by type is an error",
          "[.forbidden]") {
    const auto refusal = refusal_of<coho::io_uring>();
    CHECK(refusal.reason() != errc::none);
    CHECK(refusal.number() != 0);
    CHECK_THAT(refusal.message(), support::contains("cannot use io_uring"));
}

TEST_CASE("H21: where io_uring is forbidden, forcing it is an error and never falls back",
          "[.forbidden]") {
    const forced_backend forced("io_uring");
    const auto refusal = refusal_of<coho::native>();
    CHECK(refusal.reason() != errc::none);
    CHECK_THAT(refusal.message(), support::contains("COHO_BACKEND asks for io_uring"));
    CHECK_THAT(refusal.message(), support::contains("cannot use io_uring"));
    const auto end = support::run_in_child([] { return coho::run(do_nothing); });
    CHECK(end.status == 1);
    CHECK_THAT(end.errors, support::contains("COHO_BACKEND asks for io_uring"));
}

TEST_CASE("H21: COHO_BACKEND=epoll is obeyed before io_uring is tried", "[.deadly]") {
    const forced_backend forced("epoll");
    coho::scheduler<coho::native> loop;
    CHECK(loop.backend_name() == "epoll");
    CHECK_THAT(std::string(loop.backend_reason()), support::contains("COHO_BACKEND"));
}
