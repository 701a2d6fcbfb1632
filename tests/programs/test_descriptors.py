"""Clients that crowd, crash or come by the thousand cost the echo server nothing that lasts."""

import random
import socket
import time

import programs
from programs import restrictions


class Descriptors(programs.ProgramTest):
    def test_lack_of_descriptors_is_waited_out_at_rest(self):
        server = self.start_server(setup=[restrictions.limit_descriptors(32)])
        message = b"is there room?\n"
        waiting = {self.connect(server) for _ in range(80)}
        for connection in waiting:
            connection.sendall(message)

        served = set(programs.readable(waiting, programs.PATIENCE))
        self.assertTrue(served, f"nobody was served; {server.story()}")
        window = 1.0  # seconds the starved server is watched
        started, spent = time.monotonic(), server.processor_seconds()
        while (left := started + window - time.monotonic()) > 0:
            served.update(programs.readable(waiting - served, left))
        spent = server.processor_seconds() - spent
        elapsed = time.monotonic() - started
        self.assertLess(len(served), len(waiting), "the server felt no lack of descriptors")
        self.assertLess(spent, 0.1 * elapsed,
                        f"{spent:.2f} s of processor time in {elapsed:.2f} s of waiting")

        waiting -= served
        self.leave(served, message)
        served = programs.readable(waiting, 1.0)
        self.assertTrue(served, "nobody was served within a second of descriptors being free; "
                        f"{server.descriptors()} are open, {server.story()}")
        while served:
            waiting -= set(served)
            self.leave(served, message)
            served = programs.readable(waiting, programs.PATIENCE) if waiting else []
        self.assertEqual(len(waiting), 0, f"clients never served; {server.story()}")
        self.assert_serves(server)

    def leave(self, connections, message):
        for connection in connections:
            self.assertEqual(programs.receive_exactly(connection, len(message)), message)
            connection.close()

    def test_clients_that_reset_right_after_they_connected_cost_nothing(self):
        self.check_resets(lambda connection: None)

    def test_clients_that_reset_in_the_middle_of_an_echo_cost_nothing(self):
        message = random.Random(3).randbytes(1 << 20)

        def begin_an_echo(connection):
            connection.send(message)  # and as it is not read, the server has more to write
            self.assertEqual(connection.recv(1), message[:1])

        self.check_resets(begin_an_echo)

    def check_resets(self, before_reset):
        server = self.start_server()
        good = self.connect(server)
        self.assert_serves(server, good)
        before = server.descriptors()
        for _ in range(50):
            connection = self.connect(server)
            before_reset(connection)
            programs.reset(connection)
        self.assert_serves(server, good)
        self.assert_serves(server)
        self.assert_descriptors_return(server, before)

    def test_thousands_of_short_connections_grow_neither_memory_nor_descriptors(self):
        server = self.start_server()
        self.serve_short_connections(server, 2000)
        descriptors, kibibytes = server.descriptors(), server.resident_kibibytes()
        self.serve_short_connections(server, 6000)
        self.assert_descriptors_return(server, descriptors)
        if programs.is_sanitized("echo_server"):
            self.skipTest("descriptors did not grow; memory says nothing in a sanitizer's build")
        slack = 256
        self.assertLessEqual(server.resident_kibibytes(), kibibytes + slack,
                             f"KiB resident, from {kibibytes} after the first 2000 connections")

    def serve_short_connections(self, server, count):
        before = server.descriptors()
        for _ in range(count):
            with socket.create_connection(server.address, programs.PATIENCE) as connection:
                self.assert_serves(server, connection)
        self.assert_descriptors_return(server, before)


if __name__ == "__main__":
    programs.main()
