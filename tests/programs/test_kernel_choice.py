"""The kernel is the one asked for; native takes io_uring where it is allowed, and else epoll."""

import errno
import subprocess

import programs
from programs import restrictions


FORBIDDEN = {
    "refused as Docker does": restrictions.refuse_calls(
        [restrictions.IO_URING_SETUP, restrictions.IO_URING_ENTER, restrictions.IO_URING_REGISTER],
        errno.EPERM),
    "unknown to the system": restrictions.refuse_calls(
        [restrictions.IO_URING_SETUP, restrictions.IO_URING_ENTER, restrictions.IO_URING_REGISTER],
        errno.ENOSYS),
    "set up but not entered": restrictions.refuse_calls([restrictions.IO_URING_ENTER], errno.EPERM),
}


class KernelChoice(programs.ProgramTest):
    def test_native_takes_io_uring_where_it_is_allowed(self):
        if reason := programs.io_uring_refusal():
            self.skipTest(f"this machine forbids io_uring: {reason}")
        server = self.start_server(backend="native")
        self.assertEqual(server.kernel, "io_uring", server.story())

    def test_environment_chooses_the_kernel_of_native(self):
        server = self.start_server(backend="native", variables={"COHO_BACKEND": "epoll"})
        self.assertEqual(server.kernel, "epoll", server.story())
        self.assert_serves(server)

    def test_environment_that_names_no_kernel_is_an_error(self):
        for name in ["nonsense", "iocp"]:
            with self.subTest(COHO_BACKEND=name):
                self.assert_refuses(1, "echo_server", "--listen", "127.0.0.1:0", says=[name],
                                    variables={"COHO_BACKEND": name})


class ForbiddenIoUring(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        try:
            subprocess.run(["true"], check=True,
                           preexec_fn=FORBIDDEN["refused as Docker does"])
        except subprocess.SubprocessError as failure:
            self.skipTest(f"this machine allows no seccomp filter: {failure}")

    def test_native_serves_on_epoll(self):
        for how, filtered in FORBIDDEN.items():
            with self.subTest(io_uring=how):
                server = self.start_server(backend="native", setup=[filtered])
                self.assertEqual(server.kernel, "epoll", server.story())
                self.assert_serves(server)

    def test_io_uring_asked_for_is_an_error_that_names_it(self):
        asked = [(["--backend", "io_uring"], {}), ([], {"COHO_BACKEND": "io_uring"})]
        for how, filtered in FORBIDDEN.items():
            for flags, variables in asked:
                with self.subTest(io_uring=how, flags=flags, variables=variables):
                    self.assert_refuses(1, "echo_server", "--listen", "127.0.0.1:0", *flags,
                                        says=["io_uring"], variables=variables, setup=[filtered])


if __name__ == "__main__":
    programs.main()
