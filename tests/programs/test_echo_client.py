"""The echo client sends one line and prints the reply, or says in one line why it could not."""

import contextlib
import socket

import programs


class EchoClient(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        # the client has no flag for the kernel
        chosen = programs.options.backend
        self.variables = {} if chosen == "native" else {"COHO_BACKEND": chosen}

    def start_client(self, *arguments):
        return self.start("echo_client", *arguments, variables=self.variables)

    def assert_prints(self, expected, client):
        status = client.wait()
        self.assertEqual((status, client.printed, client.errors()), (0, expected, ""))

    def assert_fails(self, *arguments, says):
        self.assert_refuses(1, "echo_client", *arguments, says=says, variables=self.variables)

    def test_prints_the_reply_to_its_line(self):
        server = self.start_server()
        for message in ["hello", "two words", "Grüße, 世界", "a long line " * 1000]:
            with self.subTest(message=message[:20]):
                self.assert_prints(message + "\n", self.start_client(
                    "--message", message, "--connect", f"127.0.0.1:{server.address[1]}"))

    def test_sends_a_line_of_its_own_where_none_is_given(self):
        server = self.start_server()
        client = self.start_client("--connect", f"127.0.0.1:{server.address[1]}")
        self.assertEqual(client.wait(), 0, client.story())
        self.assertRegex(client.printed, r"\A[^\n]+\n\Z")

    def test_finds_a_server_by_name(self):
        server = self.start_server()
        self.assert_prints("hello\n", self.start_client(
            "--message", "hello", "--connect", f"localhost:{server.address[1]}"))

    def test_ipv6(self):
        if not programs.has_ipv6():
            self.skipTest("this machine has no IPv6 loopback")
        server = self.start_server(listen="[::1]:0")
        self.assert_prints("hello\n", self.start_client(
            "--message", "hello", "--connect", f"[::1]:{server.address[1]}"))

    def test_name_that_does_not_resolve_is_named(self):
        for name in ["no-such-host.invalid", "[::1"]:
            with self.subTest(name=name):
                self.assert_fails("--connect", f"{name}:7777", says=[name])

    def test_address_that_does_not_parse_is_named(self):
        for address in ["127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", ":7", ""]:
            with self.subTest(address=address):
                self.assert_fails("--connect", address, says=[address])

    def test_refused_port_is_named(self):
        with socket.socket() as nobody_listens:
            nobody_listens.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{nobody_listens.getsockname()[1]}"
            self.assert_fails("--connect", address, says=[address, "refused"])

    def test_server_that_hangs_up_without_a_reply_is_an_error(self):
        client = self.reply_with(lambda connection, request: None, "hello")
        self.assertEqual((client.wait(), client.printed), (1, ""), client.story())
        self.assertRegex(client.errors(), r"\A[^\n]+\n\Z")

    def test_reply_that_comes_in_pieces_is_printed_whole(self):
        def letter_by_letter(connection, request):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(len(request)):
                connection.sendall(request[number:number + 1])

        message = "letter by letter " * 20
        self.assert_prints(message + "\n", self.reply_with(letter_by_letter, message))

    def reply_with(self, reply, message):
        """Plays the server of a client, which it gives."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(programs.PATIENCE)
            client = self.start_client("--connect", f"127.0.0.1:{listener.getsockname()[1]}",
                                       "--message", message)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(programs.PATIENCE)
                request = programs.receive_exactly(connection, len(message) + 1)
                self.assertEqual(request, f"{message}\n".encode())
                with contextlib.suppress(ConnectionError):  # what it printed tells more
                    reply(connection, request)
        return client


if __name__ == "__main__":
    programs.main()
