// Runs a program under a seccomp filter that forbids io_uring, as containers do.
//
//     forbid_io_uring WAY program [argument ...]

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct way {
    std::string_view name;
    /// The system call that is forbidden, and what comes of it.
    unsigned number;
    unsigned answer;
};

constexpr std::array ways{
    // Docker, and the sysctl kernel.io_uring_disabled.
    way{"setup-EPERM", SYS_io_uring_setup, SECCOMP_RET_ERRNO | EPERM},
    // Other runtimes, gVisor, and kernels built without it.
    way{"setup-ENOSYS", SYS_io_uring_setup, SECCOMP_RET_ERRNO | ENOSYS},
    way{"setup-ENOMEM", SYS_io_uring_setup, SECCOMP_RET_ERRNO | ENOMEM},
    way{"setup-EOPNOTSUPP", SYS_io_uring_setup, SECCOMP_RET_ERRNO | EOPNOTSUPP},
    // Filters that allow it only in part.
    way{"enter-EPERM", SYS_io_uring_enter, SECCOMP_RET_ERRNO | EPERM},
    way{"register-EPERM", SYS_io_uring_register, SECCOMP_RET_ERRNO | EPERM},
    // Who only tries it is killed.
    way{"killed", SYS_io_uring_setup, SECCOMP_RET_KILL_PROCESS},
};

bool forbid(const way& chosen) {
    std::array filter{
        sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, chosen.number},
        sock_filter{BPF_RET | BPF_K, 0, 0, chosen.answer},
        sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    sock_fprog program{filter.size(), filter.data()};
    // Without it only root may install a filter.
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

int main(int count, char** words) {
    for (const auto& each : ways) {
        if (count < 3 || each.name != words[1]) continue;
        if (!forbid(each)) {
            std::fprintf(stderr, "cannot install a seccomp filter: %s\n", std::strerror(errno));
            return 77;  // Meson: skipped
        }
        ::execv(words[2], words + 2);
        std::fprintf(stderr, "cannot run %s: %s\n", words[2], std::strerror(errno));
        return 1;
    }
    std::fprintf(stderr, "usage: forbid_io_uring WAY program [argument ...], with a WAY of");
    for (const auto& each : ways) std::fprintf(stderr, " %s", each.name.data());
    std::fprintf(stderr, "\n");
    return 2;
}
