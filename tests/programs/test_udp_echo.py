"""The datagram echo gives each client its own datagrams back, whole."""

import random
import signal
import socket
import struct

import programs

LARGEST = 65507  # bytes: what IPv4 leaves of 65535 after its header and that of UDP


class UdpEcho(programs.ProgramTest):
    arguments = ()

    def start_udp_echo(self, **others):
        return self.start_server(*self.arguments, name="udp_echo", **others)

    def client(self, server):
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(programs.PATIENCE)
        client.connect(server.address)  # and so receives from the server alone
        return client

    def assert_comes_back(self, server, client, datagram):
        try:
            received = client.recv(LARGEST + 1)
        except TimeoutError:
            self.fail(f"a datagram of {len(datagram)} bytes did not come back; {server.story()}")
        self.assertEqual(programs.digest(received), programs.digest(datagram))

    def assert_echoes(self, server, client, datagram):
        client.send(datagram)
        self.assert_comes_back(server, client, datagram)

    def test_datagrams_of_all_sizes_come_back_to_several_clients(self):
        server = self.start_udp_echo()
        clients = [self.client(server) for _ in range(5)]
        dice = random.Random(4)
        sizes = [1, 1400, 1472, 1473, 16384, 65506, LARGEST]
        sizes += [dice.randint(1, 1400) for _ in range(40 - len(sizes))]
        for size in sizes:
            datagrams = [dice.randbytes(size) for _ in clients]
            if size <= 1400:  # all clients at once; of the large ones the system might drop some
                for client, datagram in zip(clients, datagrams):
                    client.send(datagram)
                for client, datagram in zip(clients, datagrams):
                    self.assert_comes_back(server, client, datagram)
            else:
                for client, datagram in zip(clients, datagrams):
                    self.assert_echoes(server, client, datagram)

    def test_empty_datagram_comes_back_empty(self):
        server = self.start_udp_echo()
        client = self.client(server)
        self.assert_echoes(server, client, b"")
        self.assert_echoes(server, client, b"not empty")

    def test_clients_that_are_gone_before_the_echo_cost_nothing(self):
        server = self.start_udp_echo()
        staying = self.client(server)
        for number in range(50):
            with self.client(server) as leaving:
                leaving.send(b"farewell")
            self.assert_echoes(server, staying, f"still here, {number}".encode())

    def test_ipv6(self):
        if not programs.has_ipv6():
            self.skipTest("this machine has no IPv6 loopback")
        server = self.start_udp_echo(listen="[::1]:0")
        self.assertEqual(server.host, "[::1]", server.printed)
        self.assert_echoes(server, self.client(server), b"six\n")

    def test_says_on_which_kernel_it_listens(self):
        server = self.start_udp_echo()
        if programs.options.backend != "native":
            self.assertEqual(server.kernel, programs.options.backend, server.printed)

    def test_interrupt_and_termination_end_it_with_status_zero(self):
        for number in [signal.SIGINT, signal.SIGTERM]:
            with self.subTest(signal=number.name):
                server = self.start_udp_echo()
                self.assert_echoes(server, self.client(server), b"before the end")
                server.process.send_signal(number)
                self.assertEqual(server.wait(), 0, server.story())
                self.assertEqual(server.printed.count("\n"), 1, server.story())


class UdpEchoInBatches(UdpEcho):
    """All of it again, and what is sent as one call."""

    arguments = ("--batches",)

    def test_datagrams_that_are_sent_at_once_come_back_one_by_one(self):
        server = self.start_udp_echo()
        client = self.client(server)
        datagrams = [bytes([number]) * 200 for number in range(30)] + [b"the last is shorter"]
        level, divided = socket.IPPROTO_UDP, 103  # UDP_SEGMENT
        try:
            client.sendmsg([b"".join(datagrams)], [(level, divided, struct.pack("H", 200))])
        except OSError as refused:
            self.skipTest(f"this system divides no datagrams: {refused}")
        for datagram in datagrams:
            self.assert_comes_back(server, client, datagram)


class UdpEchoOfLeases(UdpEcho):
    """All of it again, in buffers that it has only while they are needed."""

    arguments = ("--leases",)


if __name__ == "__main__":
    programs.main()
