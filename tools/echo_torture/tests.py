"""The tests, in the order in which they run. The docstring of each says what a good server does."""

import contextlib
import dataclasses
import errno
import functools
import resource
import selectors
import subprocess
import time

from .clients import check_end, exchange, fill, noise, ready_to, signed
from .common import MIB, QUIET_SECONDS, Failed, Skipped, eventually, options
from .restrictions import (IO_URING_SETUP, in_network_of_its_own, limit_descriptors, refuse_calls,
                           set_loopback)

FEW_DESCRIPTORS = 100  # for the server that is to run out of them; some runtimes open dozens for themselves
MORE_MEMORY = 32 * MIB  # what a server may take for one client; half of what that client sends
BUSY_SHARE = 0.1  # of one processor, for a server that can do nothing; who spins may have to share it
LAZY_DESCRIPTORS = 8  # what a runtime may open for itself meanwhile; a leak is of hundreds


@dataclasses.dataclass(frozen=True)
class Test:
    run: callable
    means: str  # for users, where it fails
    needs_process: bool

    @property
    def name(self):
        return self.run.__name__


TESTS = []


def torture(means, needs_process=False):
    def add(run):
        TESTS.append(Test(run, means, needs_process))
        return run
    return add


@torture("data is lost, or one client on a slow line takes all the server's memory")
def slow_reader(target):
    """64 MiB come back whole though the reader pauses, and are not hoarded by the server"""
    with target.start() as server:
        server.check_serves()
        memory = [server.memory()]
        client, = server.connect(noise(2 * MORE_MEMORY), receive_buffer=64 << 10)
        fill([client])
        memory.append(server.memory())
        while client.received < len(client.message):
            exchange([client], min(client.received + MIB, len(client.message)))
            time.sleep(0.01)
            memory.append(server.memory())
        if None in memory:
            return ["memory not measured: the process is not at hand"]
        growth = max(memory) - memory[0]
        if growth > MORE_MEMORY:
            raise Failed(f"at most {MORE_MEMORY // MIB} MiB more of memory while the client does not read",
                         f"{growth // MIB} MiB more")
        return [f"memory grew by {growth >> 10} KiB"]


@torture("clients that send first and read later hang, or hold everybody else up")
def pipelined(target):
    """Eight clients send up to 8 MiB before they read a byte; others are served meanwhile"""
    with target.start() as server:
        clients = server.connect(*[noise(8 * MIB)] * 8, receive_buffer=64 << 10)
        fill(clients)
        for _ in range(10):
            server.check_serves()
        exchange(clients)


@torture("people who type, and protocols with short messages, wait for an answer that is held back")
def trickle(target):
    """Twenty clients send one byte at a time, and each is answered before the next"""
    with target.start() as server:
        clients = server.connect(*[signed(number, 256) for number in range(20)])

        def one_byte(number):
            exchange(clients, number % 256 + 1)
            if number % 256 == 255:
                for client in clients:
                    client.say(client.message)
            time.sleep(0.01)

        return [f"{repeatedly(one_byte)} bytes each"]


@torture("answers are cut off, or never end, for clients that say they are done sending, as nc -N and socat do")
def half_close(target):
    """A client that shuts down its sending side still receives every byte, and then the end"""
    with target.start() as server:
        mute, = server.connect(b"")
        mute.shut_down()
        check_end(mute)
        clients = server.connect(*[noise(MIB)] * 10, receive_buffer=64 << 10)
        fill(clients)
        for client in clients:
            client.say_no_more()
            client.shut_down()
        exchange(clients)
        for client in clients:
            check_end(client)


@torture("clients that crash or roam take the server down, or wear it out")
def resets(target):
    """Hundreds of clients reset their connections at different moments; all others are served"""
    with target.start() as server:
        good, = server.connect(b"")

        def crash(number):
            clients = server.connect(*[noise(64 << 10)] * 60)
            for client in clients[20:]:
                client.send(len(client.message))
            for client in clients[40:]:
                exchange([client], 1)
            for client in clients:
                client.reset()
            server.clients[1:] = []
            server.check_serves(good)

        with descriptors_return(server):
            count = 60 * repeatedly(crash)
        server.check_serves()
        return [f"{count} resets", *server.notes]


@torture("one client that goes away during a download takes the server down")
def reset_while_sending(target):
    """Clients leave in different ways while the server still has much to send"""
    with target.start() as server:
        with descriptors_return(server):
            for client in server.connect(*[noise(48 << 10)] * 100):
                client.send(len(client.message))
                client.close()
            clients = server.connect(*[noise(8 * MIB)] * 12, receive_buffer=64 << 10)
            fill(clients)
            for number, client in enumerate(clients):
                if number % 2:
                    client.say_no_more()
                    while not client.is_taken():
                        exchange([client], min(client.received + 4096, client.sent))
                    # Where the end of what it says arrives first, the next write is to a broken pipe.
                    client.shut_down()
                client.reset()
        server.check_serves()
        return server.notes


@torture("clients read what others wrote, or are turned away at a load that is common")
def many_connections(target):
    """All of --connections are open at once; each gets back its own bytes and nobody else's"""
    count = options.connections
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        raise Skipped(f"this machine allows {hard} descriptors; say --connections {hard - 100} for fewer")
    with target.start() as server:
        with descriptors_return(server):
            clients = server.connect(*[signed(number, 8192) for number in range(count)])
            exchange(clients, 64)
            exchange(clients)
            for client in clients:
                client.close()
        return [f"{count} connections", *server.notes]


@torture("a crowd ends the service, or burns a processor, until the server is restarted", needs_process=True)
def descriptors_run_out(target):
    """With 100 descriptors for 200 clients it waits at rest, and serves on once some have left"""
    with target.start(limit_descriptors(FEW_DESCRIPTORS)) as server:
        count = 2 * FEW_DESCRIPTORS
        clients = server.begin_connecting([signed(number, 16) for number in range(count)])
        served, waiting = serve_some(clients)
        if not served:
            raise Failed(f"some of {count} clients served",
                         f"none, and {count - len(waiting)} of them cut off")
        if len(served) == count:
            raise Skipped(f"it served {count} clients with {FEW_DESCRIPTORS} descriptors to a process")
        started, spent = time.monotonic(), server.processor_seconds()
        time.sleep(max(1.0, options.duration))
        if spent is not None:
            share = (server.processor_seconds() - spent) / (time.monotonic() - started)
            if share > BUSY_SHARE:
                raise Failed("a server at rest while it waits for descriptors",
                             f"one that keeps a processor {share:.0%} busy")
        for client in served:
            client.close()
        if waiting and not serve_some(waiting)[0]:
            raise Failed(f"service for those who wait once {len(served)} clients have left",
                         f"none in {options.patience:g} s")
        server.leave()
        server.check_serves()
        return [f"{len(served)} served at first"]


def serve_some(clients):
    """Those who get their bytes back, until nobody does any more, and those who still wait; a server may
    also turn clients away."""
    served, turned_away, quiet = set(), set(), options.patience
    while unsure := set(clients) - served - turned_away:
        unsent = {each for each in unsure if not each.sent}
        ready = ready_to(selectors.EVENT_WRITE, unsent, 0) if unsent else []
        ready += ready_to(selectors.EVENT_READ, unsure, 0 if ready else quiet)
        if not ready:
            break
        for client in ready:
            try:
                client.send(len(client.message))
                client.receive()
            except Failed:
                turned_away.add(client)
            if client.received == len(client.message):
                served.add(client)
                quiet = QUIET_SECONDS
    return served, unsure - served - turned_away


@torture("the server runs out of descriptors after hours or days, and then serves nobody")
def churn(target):
    """Clients come, are served and go as fast as they can, and leave no descriptor behind"""
    with target.start() as server:

        def visit(number):
            if number % 4 == 3:
                server.connect(b"")[0].close()
            else:
                server.check_serves()
            server.clients.clear()

        with descriptors_return(server):
            count = repeatedly(visit)
        return [f"{count} connections", *server.notes]


@torture("a few people who do nothing, or attackers, lock everybody else out")
def silent(target):
    """200 connections never send; others are served meanwhile, and they too when they speak at last"""
    with target.start() as server:
        quiet = server.connect(*[signed(number, 64) for number in range(200)])
        clients = server.connect(*[b""] * 10)
        started = time.monotonic()

        def talk(number):
            for client in clients:
                client.say(signed(number, 64))
            exchange(clients)

        count = 10 * repeatedly(talk)
        if not options.idle_seconds or time.monotonic() - started < 0.5 * options.idle_seconds:
            exchange(quiet)
        return [f"{count} messages of others"]


@torture("connections of people who left stay open for ever, and one day there are too many")
def idle(target):
    """A client that is silent for --idle-seconds is closed, one that speaks now and then is not"""
    limit = idle_limit()
    with target.start() as server:
        active, mute = server.connect(b"", b"")
        started, closed = time.monotonic(), None
        while closed is None or time.monotonic() < started + 2 * limit:
            server.check_serves(active)
            watched = mute if closed is None else active
            if ready_to(selectors.EVENT_READ, [watched], limit / 8) and closed is None:
                check_end(mute)
                closed = time.monotonic() - started
            if time.monotonic() > started + limit + options.patience and closed is None:
                raise Failed(f"the silent client closed after {limit:g} s",
                             f"nothing in {limit + options.patience:g} s")
        if closed < 0.9 * limit:
            raise Failed(f"the silent client left alone for {limit:g} s", f"its end after {closed:.1f} s")
        return [f"closed after {closed:.1f} s"]


def idle_limit():
    if not options.idle_seconds:
        raise Skipped("no --idle-seconds was given; say it where the server closes idle connections")
    return options.idle_seconds


@torture("each phone that loses its network costs a connection for ever", needs_process=True)
def half_open(target):
    """Clients that vanish without a word, silent or with bytes unread, are closed after --idle-seconds"""
    limit = idle_limit()
    in_network_of_its_own(functools.partial(vanish, target, limit))


def vanish(target, limit):
    with target.start() as server:
        with descriptors_return(server):
            clients = server.connect(*[b""] * 12, *[noise(8 * MIB)] * 12, receive_buffer=64 << 10)
            for mute in clients[:12]:
                server.check_serves(mute)
            fill(clients[12:])
            set_loopback(up=False)
            time.sleep(limit)
        set_loopback(up=True)
        server.check_serves()


@torture("each restart or update breaks off what clients are in the middle of", needs_process=True)
def interrupt(target):
    """At SIGINT the server listens no more, sends what it owes, and exits with status 0"""
    with target.start() as server:
        clients = owed(server)
        server.interrupt()
        if not eventually(server.refuses):
            raise Failed("new connections refused after SIGINT",
                         f"a server that still listens after {options.patience:g} s")
        exchange(clients)
        for client in clients:
            client.shut_down()
            check_end(client)
        if not server.end_within(options.patience):
            raise Failed("an end of the server once its clients have left",
                         f"none in {options.patience:g} s")
        if server.process.returncode != 0:
            raise Failed("exit status 0 after SIGINT", server.fate())


@torture("whoever stops the server by hand has to kill it", needs_process=True)
def interrupt_twice(target):
    """The second SIGINT ends the server at once, whoever is still connected"""
    with target.start() as server:
        owed(server)
        server.interrupt()
        eventually(lambda: server.process.poll() is not None or server.refuses())
        if server.end_within(0.1):
            raise Skipped("the first SIGINT has ended it; see interrupt")
        server.interrupt()
        soon = min(2.0, options.patience)  # sooner than a drain would end by itself
        if not server.end_within(soon):
            raise Failed("an end at the second SIGINT", f"none in {soon:g} s")


def owed(server):
    """Clients in the middle of an exchange: the server owes them bytes that they do not take yet."""
    clients = server.connect(b"", *[noise(8 * MIB)] * 3, receive_buffer=64 << 10)
    server.check_serves(clients[0])
    fill(clients[1:])
    for client in clients:
        client.say_no_more()
    return clients


@torture("the server does not start in containers, where io_uring is forbidden", needs_process=True)
def io_uring_forbidden(target):
    """Where io_uring_setup fails with EPERM (Docker) or ENOSYS (gVisor), it serves all the same"""
    for reason in (errno.EPERM, errno.ENOSYS):
        forbidden = refuse_calls([IO_URING_SETUP], reason)
        try:
            subprocess.run(["true"], check=True, preexec_fn=forbidden)
        except (OSError, subprocess.SubprocessError):
            raise Skipped("this machine allows no seccomp filter") from None
        try:
            with target.start(forbidden) as server:
                exchange(server.connect(*[signed(number, 64 << 10) for number in range(20)]))
        except Failed as failure:
            where = f"where io_uring_setup fails with {errno.errorcode[reason]}"
            raise Failed(f"{failure.expected}, {where}", failure.came, failure.last_words) from None


# What they share

@contextlib.contextmanager
def descriptors_return(server):
    """Whatever happens inside, the server has as few descriptors open afterwards as before."""
    warm = server.connect(*[signed(number, 64) for number in range(20)])
    exchange(warm)
    for client in warm:
        client.close()
    time.sleep(QUIET_SECONDS)
    before = server.descriptors()
    yield
    if before is None:
        server.notes.append("descriptors not counted: the process is not at hand")
    elif not eventually(lambda: server.descriptors() <= before + LAZY_DESCRIPTORS):
        raise Failed(f"about {before} open descriptors of the server once its clients are gone",
                     f"{server.descriptors()}")


def repeatedly(action):
    """Calls action(0), action(1)... for --duration seconds, and gives the number of calls."""
    until, number = time.monotonic() + options.duration, 0
    while number == 0 or time.monotonic() < until:
        action(number)
        number += 1
    return number
