"""The echo server for Windows under Wine, driven from outside as a real client would."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

PATIENCE_SECONDS = 60


class EchoServer(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen(
            [WINE, PROGRAM, "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.server.stdout.readline()
        self.assertRegex(line, r"^listening on 127\.0\.0\.1:\d+ \(iocp\)$")
        self.port = int(line.split(":")[1].split()[0])

    def tearDown(self):
        if self.server.poll() is None:
            self.server.kill()
        self.server.communicate()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def assert_echoes(self, client, message=b"hello"):
        client.sendall(message)
        received = b""
        while len(received) < len(message):
            received += client.recv(len(message) - len(received)) or self.fail("the stream ended")
        self.assertEqual(received, message)

    def interrupt(self):
        os.kill(self.server.pid, signal.SIGINT)

    def test_16_mebibytes_come_back_whole_through_a_slow_reader(self):
        sent = os.urandom(16 << 20)
        with self.connect() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

            def send():
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            received = bytearray()
            while some := client.recv(65536):
                received += some
                # A reader that now and then looks away lets every buffer on the way fill up.
                if len(received) % 7 == 0:
                    time.sleep(0.01)
            sender.join()
        self.assertTrue(received == sent)

    def test_200_clients_at_once(self):
        clients = [self.connect() for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%200d" % number)
        for number, client in enumerate(clients):
            received = b""
            while len(received) < 200:
                received += client.recv(200) or self.fail("the stream ended")
            self.assertEqual(received, b"%200d" % number)
            client.close()

    def test_50_clients_that_reset_cost_nothing(self):
        for number in range(50):
            client = self.connect()
            if number % 2:
                client.sendall(b"x" * 1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        with self.connect() as client:
            self.assert_echoes(client)

    def test_an_interrupt_drains_and_exits_0(self):
        with self.connect() as client:
            self.assert_echoes(client)
            self.interrupt()
            # Those who are connected are served on while the server drains.
            self.assert_echoes(client, b"still here")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.recv(100), b"")
        self.assertEqual(self.server.wait(PATIENCE_SECONDS), 0)


if __name__ == "__main__":
    WINE, PROGRAM = (pathlib.Path(each).resolve() for each in sys.argv[1:3])
    unittest.main(argv=sys.argv[:1], verbosity=2)
