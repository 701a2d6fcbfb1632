"""What a program cannot do it says in one line, with the address and the reason, and fails."""

import os

import programs

SERVERS = ["echo_server", "udp_echo"]


class BadInput(programs.ProgramTest):
    def assert_refuses_to_listen(self, name, listen, says=(), **others):
        self.assert_refuses(1, name, "--listen", listen, "--backend", programs.options.backend,
                            says=[listen, *says], **others)

    def test_wrong_flag_gives_the_usage(self):
        for name in [*SERVERS, "echo_client"]:
            for flag in ["--nonsense", "nonsense", ""]:
                with self.subTest(program=name, flag=flag):
                    self.assert_misused(name, flag, says=f'"{flag}"')

    def test_flag_without_its_value_gives_the_usage(self):
        for name, flag in [("echo_server", "--listen"), ("udp_echo", "--backend"),
                           ("echo_client", "--connect")]:
            with self.subTest(program=name):
                self.assert_misused(name, flag, says=flag)

    def test_value_that_makes_no_sense_gives_the_usage(self):
        for name, flag, value in [
                ("echo_server", "--backend", "abacus"), ("udp_echo", "--backend", "abacus"),
                ("echo_server", "--max-connections", "many"), ("echo_server", "--idle", "soon"),
                ("echo_server", "--max-connections", "-3"), ("echo_server", "--idle", "-3"),
                ("echo_server", "--idle", "9" * 30), ("echo_server", "--idle", "")]:
            with self.subTest(program=name, flag=flag, value=value):
                self.assert_misused(name, "--listen", "127.0.0.1:0", flag, value, says=value)

    def test_address_that_does_not_parse_is_named(self):
        for name in SERVERS:
            for address in ["nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                            "127.0.0.1:-1", "127.0.0.1:80x", "127.0.0.1:7 7", "256.0.0.1:0",
                            "[::1]", "[::1:0", "[::1]0", "[::g]:0", ""]:
                with self.subTest(program=name, address=address):
                    self.assert_refuses_to_listen(name, address)

    def test_port_in_use_is_named(self):
        for name in SERVERS:
            with self.subTest(program=name):
                server = self.start_server(name=name)
                self.assert_refuses_to_listen(name, "{}:{}".format(*server.address), ["in use"])

    def test_address_of_another_machine_is_named(self):
        for name in SERVERS:
            with self.subTest(program=name):
                self.assert_refuses_to_listen(name, "192.0.2.1:0", ["address"])  # RFC 5737

    def test_privileged_port_is_named(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as limit:
            if int(limit.read()) <= 80:
                self.skipTest("this machine lets everyone listen on port 80")
        for name in SERVERS:
            with self.subTest(program=name), open(programs.options.programs / name, "rb") as code:
                others = {}
                if os.geteuid() == 0:  # nobody may lack the right to walk to the program's folder
                    others = {"user": 65534, "group": 65534, "extra_groups": [],
                              "executable": f"/proc/self/fd/{code.fileno()}",
                              "pass_fds": [code.fileno()]}
                self.assert_refuses_to_listen(name, "127.0.0.1:80", ["permission"], **others)


if __name__ == "__main__":
    programs.main()
