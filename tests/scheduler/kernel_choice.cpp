#include "support/child_process.hpp"
#include "support/world.hpp"
#include "support/kernels.hpp"

#include <cstdlib>

namespace {

/// Prints to standard error which kernel native is under this value of COHO_BACKEND, and why.
support::child_end native_under(const char* variable) {
    return support::run_in_child([=] {
        if (variable) ::setenv("COHO_BACKEND", variable, 1);
        else ::unsetenv("COHO_BACKEND");
        try {
            coho::scheduler<coho::native> world;
            std::fprintf(stderr, "%s: %s\n", std::string(world.backend_name()).c_str(),
                         std::string(world.backend_reason()).c_str());
            return 0;
        } catch (const coho::failure& refused) {
            std::fprintf(stderr, "%s\n", refused.what());
            return 1;
        }
    });
}

}  // namespace

TEST_CASE("H21: COHO_BACKEND chooses the kernel of native", "[choice][H21]") {
    CHECK(native_under("epoll").errors == "epoll: COHO_BACKEND asks for it\n");
    CHECK(native_under("io_uring").errors == "io_uring: COHO_BACKEND asks for it\n");
    CHECK(native_under("").errors == native_under(nullptr).errors);
    const auto unknown = native_under("kqueue");
    CHECK(unknown.status == 1);
    CHECK(unknown.says("\"kqueue\""));
    CHECK(unknown.says("\"io_uring\" or \"epoll\""));
}

TEST_CASE("H21: where the first kernel cannot be used, the second is, and says why",
          "[choice][H21]") {
    const auto end = support::run_in_child([] {
        ::unsetenv("COHO_BACKEND");
        coho::scheduler<support::either_second> world;
        std::fprintf(stderr, "%s", std::string(world.backend_reason()).c_str());
        return world.backend_name() == "epoll" ? 0 : 1;
    });
    CHECK(end.status == 0);
    CHECK(end.says("cannot use a kernel made unusable"));
    const auto forced = support::run_in_child([] {
        ::setenv("COHO_BACKEND", "unusable", 1);
        try {
            coho::scheduler<support::either_second> world;
            return 0;
        } catch (const coho::failure& refused) {
            std::fprintf(stderr, "%s", refused.what());
            return 1;
        }
    });
    CHECK(forced.status == 1);
    CHECK(forced.says("COHO_BACKEND asks for unusable"));
}

TEST_CASE("a kernel named as a template says so", "[choice]") {
    coho::scheduler<coho::epoll> epoll;
    CHECK(epoll.backend_name() == "epoll");
    coho::scheduler<coho::io_uring> io_uring;
    CHECK(io_uring.backend_name() == "io_uring");
}
