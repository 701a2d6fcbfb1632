"""Loss, resets, silence and slow links between our programs, on the system's own TCP.

Each test makes a network namespace of its own and spoils its loopback with nftables and tc, so that
nothing outside notices and nothing is left behind.
"""

import ctypes
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "programs"))
import programs

EXCHANGE = "../tests/network/exchange"
TABLE = "add table inet faults\nadd chain inet faults arriving { type filter hook input priority 0; }\n"
GIVEN_UP = "the time allowed has passed"
RESET = "the peer has closed or reset the connection"


class NotPermitted(Exception):
    """Why networks cannot be spoiled here, for the reader."""


def enter_private_network():
    """From here on this process and its children have a network of their own, with loopback alone."""
    new_user, new_network = 0x10000000, 0x40000000  # unshare(2)
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # which only root has there
    for missing in (name for name in ("ip", "nft", "tc") if not shutil.which(name)):
        package = "nftables" if missing == "nft" else "iproute2"
        raise NotPermitted(f"there is no {missing} here (package {package})")
    user, group = os.getuid(), os.getgid()
    if programs.restrictions.libc.unshare(new_network) != 0:
        if programs.restrictions.libc.unshare(new_user | new_network) != 0:
            why = os.strerror(ctypes.get_errno())
            raise NotPermitted(f"the system allows no network namespace ({why}); root may make one")
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    # As on Ethernet: with 64 KiB to a packet there would be few to lose.
    run("ip", "link", "set", "lo", "up", "mtu", "1500", "gso_max_segs", "1")


def run(*command, **others):
    done = subprocess.run(command, capture_output=True, text=True, **others)
    if done.returncode:
        raise NotPermitted(f"{' '.join(command)} says: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def spoil(*rules):
    """Lets nftables do that to the packets that arrive, and count them."""
    lines = "".join(f"add rule inet faults arriving {rule}\n" for rule in rules)
    run("nft", "-f", "-", input=TABLE + lines)


def heal():
    run("nft", "flush", "ruleset")


def spoilt_packets():
    listing = json.loads(run("nft", "-j", "list", "ruleset"))["nftables"]
    expressions = [part for each in listing for part in each.get("rule", {}).get("expr", [])]
    return sum(part["counter"]["packets"] for part in expressions if "counter" in part)


class Faults(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        try:
            enter_private_network()
        except NotPermitted as reason:
            self.skipTest(str(reason))

    def spoil(self, *rules):
        try:
            spoil(*rules)
        except NotPermitted as reason:
            self.skipTest(f"nftables cannot do this here: {reason}")

    def exchange(self, server, count, *arguments):
        return self.start(EXCHANGE, "--connect", f"{server.host}:{server.address[1]}",
                          "--backend", programs.options.backend, "--bytes", str(count), *arguments)

    def assert_whole(self, server, count):
        client = self.exchange(server, count)
        self.assertEqual(client.wait(), 0, client.story())
        self.assertIn(f"{count} bytes came back whole", client.printed)

    def assert_fails(self, client, words):
        self.assertEqual(client.wait(), 1, client.story())
        self.assertRegex(client.errors(), rf"\A[^\n]*{words}\n\Z")

    def assert_under_way(self, client):
        self.assertEqual(client.read_line(), "bytes come back\n", client.story())

    def test_every_byte_comes_back_over_a_network_that_loses_a_twentieth(self):
        server = self.start_server()
        self.spoil("meta l4proto tcp numgen random mod 100 < 5 counter drop")
        self.assert_whole(server, 3 << 20)
        self.assertGreater(spoilt_packets(), 20, "packets were lost")

    def test_datagrams_that_are_not_lost_come_back_whole(self):
        server = self.start_server(name="udp_echo")
        self.spoil("meta l4proto udp numgen random mod 100 < 20 counter drop")
        dice = random.Random(6)
        datagrams = [number.to_bytes(4, "big") + dice.randbytes(500) for number in range(300)]
        came = set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(server.address)
            for datagram in datagrams:
                client.send(datagram)
                while programs.readable([client], 0):
                    came.add(client.recv(2048))
            while programs.readable([client], 0.3):
                came.add(client.recv(2048))
        self.assertLess(len(came), len(datagrams), "none was lost")
        self.assertGreater(len(came), 0, f"all were lost; {server.story()}")
        self.assertEqual(came - set(datagrams), set(), "datagrams that nobody sent")

    def test_resets_in_the_middle_of_a_stream_end_that_stream_alone(self):
        server = self.start_server()
        port = server.address[1]
        good = self.connect(server)
        self.assert_serves(server, good)
        before = server.descriptors()
        # A reset goes to the one whose segment is refused: first the client, then the server. One that
        # is sent must itself pass.
        few = "tcp flags & (syn|fin|rst) == 0 numgen random mod 1000 < 5 counter reject with tcp reset"
        for way in ["dport", "sport"]:
            with self.subTest(refused=way):
                self.spoil(f"tcp {way} {port} {few}")
                clients = [self.exchange(server, 1 << 28) for _ in range(3)]
                for client in clients:
                    self.assert_fails(client, RESET)
                self.assertGreaterEqual(spoilt_packets(), len(clients), "segments were refused")
                heal()
                self.assert_serves(server, good)
                self.assert_whole(server, 1 << 20)
                self.assert_descriptors_return(server, before)

    def test_silent_half_open_client_is_closed_when_idle_is_over(self):
        """H27: a peer that is gone without a word costs a connection until the idle limit alone"""
        server = self.start_server("--idle", "1")
        before = server.descriptors()
        gone = [self.connect(server) for _ in range(5)]
        for connection in gone:
            self.assert_serves(server, connection)
        self.assertEqual(server.descriptors(), before + len(gone))
        self.spoil(f"tcp dport {server.address[1]} counter drop")
        for connection in gone:
            connection.close()
        self.assert_descriptors_return(server, before)
        self.assertGreater(spoilt_packets(), 0, "ends were lost")
        heal()
        self.assert_serves(server)

    def test_silence_in_the_middle_of_a_stream_ends_at_the_time_limit(self):
        """H27: an operation under a timeout ends in time, whatever the network does"""
        server = self.start_server("--idle", "1")
        client = self.exchange(server, 1 << 28, "--limit", "1")
        self.assert_under_way(client)
        self.spoil("meta l4proto tcp counter drop")
        self.assert_fails(client, f"after [1-9][0-9]* bytes: {GIVEN_UP}")
        self.assertGreater(spoilt_packets(), 0, "segments were lost")
        heal()
        self.assert_whole(server, 1 << 20)

    def test_user_timeout_lets_the_system_itself_give_up(self):
        """H27: user_timeout ends what waits for a peer that acknowledges nothing"""
        server = self.start_server()
        client = self.exchange(server, 1 << 28, "--limit", "60", "--user-timeout", "1000")
        self.assert_under_way(client)
        self.spoil("meta l4proto tcp counter drop")
        # A send of io_uring that had moved some of its bytes keeps the system's reason to itself, and
        # those that follow meet a closed connection.
        self.assert_fails(client, f"after [1-9][0-9]* bytes: ({GIVEN_UP}|{RESET})")

    def test_connecting_to_where_nobody_answers_ends_at_the_time_limit(self):
        server = self.start_server()
        where = f"{server.host}:{server.address[1]}"
        self.spoil("tcp flags & (syn|ack) == syn counter drop")
        client = self.exchange(server, 1, "--limit", "1")
        self.assert_fails(client, f"cannot connect to {where}: {GIVEN_UP}")
        asking = self.start("echo_client", "--connect", where)
        self.assert_fails(asking, f"cannot connect to {where}: {GIVEN_UP}")
        self.assertGreaterEqual(spoilt_packets(), 2)
        heal()
        self.assert_serves(server)

    def test_connecting_to_where_nobody_answers_ends_when_the_system_gives_up(self):
        server = self.start_server()
        pathlib.Path("/proc/sys/net/ipv4/tcp_syn_retries").write_text("1")
        self.spoil("tcp flags & (syn|ack) == syn counter drop")
        client = self.exchange(server, 1, "--limit", "60")
        self.assert_fails(client, f"cannot connect to {server.host}:{server.address[1]}: {GIVEN_UP}")

    def test_every_byte_comes_back_over_a_slow_link(self):
        server = self.start_server()
        try:
            run("tc", "qdisc", "add", "dev", "lo", "root", "tbf",
                "rate", "40mbit", "burst", "64kb", "latency", "50ms")
        except NotPermitted as reason:
            self.skipTest(f"there are no slow links here: {reason}")
        self.assert_whole(server, 2 << 20)
        counts = json.loads(run("tc", "-s", "-j", "qdisc", "show", "dev", "lo"))[0]
        self.assertGreater(counts["overlimits"], 0, "the link slowed nothing down")


if __name__ == "__main__":
    programs.main()
