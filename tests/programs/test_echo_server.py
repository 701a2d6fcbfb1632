"""The echo server gives every byte back, to everyone, within the limits it was told."""

import random
import resource
import select
import socket
import time

import programs


class EchoServer(programs.ProgramTest):
    def test_says_once_where_and_on_which_kernel_it_listens(self):
        for listen in ["127.0.0.1:0", "[::1]:0"]:
            with self.subTest(listen=listen):
                if listen.startswith("[") and not programs.has_ipv6():
                    self.skipTest("this machine has no IPv6 loopback")
                server = self.start_server(listen=listen)
                self.assertEqual(server.host, listen.rpartition(":")[0], server.printed)
                self.assertNotEqual(server.address[1], 0, server.printed)
                asked = programs.options.backend
                kernels = ["io_uring", "epoll"] if asked == "native" else [asked]
                self.assertIn(server.kernel, kernels, server.printed)
                self.assert_serves(server)

    def test_half_closed_client_receives_every_byte_and_then_the_end(self):
        connection = self.connect(self.start_server())
        message = random.Random(1).randbytes(300_000)
        sent = programs.send_until_stuck(connection, message)
        connection.shutdown(socket.SHUT_WR)
        received = programs.receive_exactly(connection, len(message) + 1)
        self.assertEqual(programs.digest(received), programs.digest(message[:sent]))

    def test_client_that_only_closes_its_side_sees_the_end(self):
        connection = self.connect(self.start_server())
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(1), b"")

    def test_sixteen_mebibytes_come_back_whole_through_a_slow_reader(self):
        connection = self.connect(self.start_server(), receive_buffer=64 << 10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        message = random.Random(2).randbytes(16 << 20)
        sent = programs.send_until_stuck(connection, message)
        self.assertLess(sent, len(message), "the server read on though nobody takes its echo")

        received = bytearray()
        burst = 4096  # less than a segment, so that the window opens by fits and starts
        connection.setblocking(False)
        while len(received) < len(message):
            wants_to_send = [connection] if sent < len(message) else []
            ready = select.select([connection], wants_to_send, [], programs.PATIENCE)
            self.assertTrue(ready[0] or ready[1],
                            f"nothing moves after {sent} bytes sent and {len(received)} received")
            if ready[1]:
                sent += connection.send(memoryview(message)[sent:sent + 3 * burst])
            if ready[0]:
                piece = connection.recv(burst)
                self.assertTrue(piece, f"the stream ended after {len(received)} bytes")
                received += piece
        self.assertEqual(programs.digest(received), programs.digest(message))

    def test_fifteen_hundred_connections_at_once_are_all_served(self):
        count = 1500
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = count + 100
        if limits[1] < needed:
            self.skipTest(f"this machine allows no more than {limits[1]} descriptors")
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        # ours, which the server inherits
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], needed), limits[1]))
        server = self.start_server()
        before = server.descriptors()
        connections = [self.connect(server) for _ in range(count)]
        messages = [f"this is number {number}\n".encode() for number in range(count)]
        for connection, message in zip(connections, messages):
            connection.sendall(message)
        for connection, message in zip(connections, messages):
            self.assertEqual(programs.receive_exactly(connection, len(message)), message)
        for connection in connections:
            connection.close()
        self.assert_descriptors_return(server, before)

    def test_client_beyond_the_most_connections_waits_until_one_leaves(self):
        server = self.start_server("--max-connections", "5")
        served = [self.connect(server) for _ in range(5)]
        for connection in served:
            self.assert_serves(server, connection)
        sixth = self.connect(server)
        sixth.sendall(b"me too\n")
        for connection in served * 100:  # time enough for the server to turn to the sixth
            self.assert_serves(server, connection)
        self.assertEqual(programs.readable([sixth], 0), [], "a sixth client was served")
        served[2].close()
        self.assertEqual(programs.receive_exactly(sixth, 7), b"me too\n")

    def test_silent_client_is_closed_when_idle_is_over_and_an_active_one_is_not(self):
        idle = 1.0
        server = self.start_server("--idle", "1")
        active = self.connect(server)
        started = time.monotonic()
        silent = self.connect(server)
        closed_after = None
        while closed_after is None or time.monotonic() < started + 2.5 * idle:
            self.assert_serves(server, active)
            # the pause between two messages of the active client, well below the limit
            watched = [silent] if closed_after is None else [active]
            if programs.readable(watched, idle / 5) == [silent]:
                closed_after = time.monotonic() - started
                self.assertEqual(silent.recv(1), b"", "bytes out of nowhere")
            self.assertLess(time.monotonic(), started + programs.PATIENCE,
                            "the silent client was not closed")
        self.assertGreaterEqual(closed_after, idle, "closed before its time")


if __name__ == "__main__":
    programs.main()
