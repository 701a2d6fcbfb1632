"""The first SIGINT or SIGTERM lets the echo server's clients finish, the second does not."""

import random
import signal

import programs


class Shutdown(programs.ProgramTest):
    message = random.Random(5).randbytes(16 << 20)  # more than all socket buffers hold

    def test_interrupt_and_termination_drain_and_exit_with_zero(self):
        # Side by side, for idle clients are waited for until the time to drain is over.
        draining = {number: self.begin_drain(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, (server, expected) in draining.items():
            with self.subTest(number.name):
                self.check_drain(server, expected)

    def begin_drain(self, number):
        """The server, and by connection the count of bytes that have to come yet."""
        server = self.start_server()
        waiting = [self.connect(server) for _ in range(17)]
        for connection in waiting:
            self.assert_serves(server, connection)
        in_flight = [self.connect(server, receive_buffer=16 << 10) for _ in range(3)]
        expected = dict.fromkeys(waiting, 0)
        for connection in in_flight:
            expected[connection] = programs.send_until_stuck(connection, self.message)
        server.process.send_signal(number)
        return server, expected

    def check_drain(self, server, expected):
        received = self.receive_until_end(server, list(expected))
        for connection, count in expected.items():
            self.assertEqual(programs.digest(received[connection]),
                             programs.digest(self.message[:count]), server.story())
        self.assertEqual(server.wait(), 0, server.story())
        self.assertEqual(server.printed.count("\n"), 1, f"more than one line; {server.story()}")

    def receive_until_end(self, server, connections):
        received = {connection: bytearray() for connection in connections}
        while connections:
            ready = programs.readable(connections, 2 * programs.PATIENCE)
            self.assertTrue(ready, f"{len(connections)} clients see no end; {server.story()}")
            for connection in ready:
                try:
                    piece = connection.recv(1 << 16)
                except ConnectionResetError:
                    self.fail(f"reset after {len(received[connection])} bytes; {server.story()}")
                received[connection] += piece
                if not piece:
                    connections.remove(connection)
        return received

    def test_second_interrupt_ends_the_draining_at_once(self):
        server = self.start_server()
        connection = self.connect(server, receive_buffer=16 << 10)
        programs.send_until_stuck(connection, self.message)  # as long as it is not read, it drains
        server.process.send_signal(signal.SIGINT)
        taken = programs.eventually(lambda: not server.has_pending(signal.SIGINT))
        self.assertTrue(taken, "the first signal was not taken")
        self.assertIsNone(server.process.poll(), f"it did not drain; {server.story()}")
        server.process.send_signal(signal.SIGINT)
        status = server.wait(seconds=2)
        self.assertIn(status, (-signal.SIGINT, 128 + signal.SIGINT), server.story())


if __name__ == "__main__":
    programs.main()
