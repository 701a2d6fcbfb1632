"""Who is measured at what, and what is wanted of coho."""

import dataclasses
import typing

SPIN_MICROSECONDS = 50


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    program: str
    arguments: tuple = ()
    load: tuple = ()  # what this server alone is loaded with

    @property
    def is_coho(self):
        return self.name.startswith("coho")

    @property
    def is_c(self):
        return self.name.startswith("C ")

    @property
    def kernel(self):
        return self.name.rpartition(" on ")[2]

    @property
    def needs_io_uring(self):
        return "io_uring" in self.name

    @property
    def package(self):
        """Of Debian, without which it was not built."""
        for word, package in {"operations": "libbenchmark-dev", "asio": "libasio-dev", "uv_": "libuv1-dev"}.items():
            if word in self.program.removeprefix("benchmarks/io_"):
                return package
        return ""


def coho_on_each_kernel(program, name="coho", arguments=(), load=()):
    return tuple(Server(f"{name} on {kernel}", program, ("--backend", kernel, *arguments), load)
                 for kernel in ("io_uring", "epoll"))


ECHO_SERVERS = (
    *coho_on_each_kernel("benchmarks/coho_echo"),
    Server("C on io_uring", "benchmarks/io_uring_echo"),
    Server("C on epoll", "benchmarks/epoll_echo"),
    Server("Asio", "benchmarks/asio_echo"),
    Server("libuv", "benchmarks/uv_echo"),
    Server("blocking threads", "benchmarks/blocking_echo"),
)
LEASE_SERVERS = coho_on_each_kernel("benchmarks/coho_leases", "coho with leases")
LIMITED_SERVERS = coho_on_each_kernel("examples/echo_server", "coho with time limits")
BROADCAST_SERVERS = (
    *coho_on_each_kernel("benchmarks/coho_broadcast"),
    Server("C on io_uring", "benchmarks/io_uring_broadcast"),
    Server("C with poll", "benchmarks/plain_broadcast"),
    Server("Asio", "benchmarks/asio_broadcast"),
    Server("libuv", "benchmarks/uv_broadcast"),
)
IN_BATCHES = ("--segments", "64", "--in-flight", "8")
DATAGRAM_SERVERS = (
    *coho_on_each_kernel("examples/udp_echo"),
    *coho_on_each_kernel("examples/udp_echo", "coho in batches", ("--batches",), IN_BATCHES),
    Server("Asio", "benchmarks/asio_datagrams"),
    Server("libuv", "benchmarks/uv_datagrams"),
    Server("blocking loop in C", "benchmarks/blocking_datagrams"),
    Server("batches in C (GSO, GRO)", "benchmarks/segmented_datagrams", load=IN_BATCHES),
)
COHO_OPERATIONS = Server("coho", "benchmarks/operations")
ASIO_OPERATIONS = Server("Asio", "benchmarks/asio_operations")


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    group: str
    servers: tuple
    load: tuple = ()
    connections: int = 1
    unit: str = "message"
    about: str = ""  # what the title does not say
    kind: str = "load"  # or memory, or operation
    spin: bool = False
    bytes_in_flight: int = 0

    @property
    def is_heavy(self):
        """So many connections that opening and closing them takes longer than the measurement."""
        return self.connections >= 5_000


def echo_row(connections, size=64, in_flight=1, spin=False):
    name = f"echo-{connections}" + "-16k" * (size > 64) + "-32" * (in_flight > 1) + "-spin" * spin
    title = "1 connection, coho spins" if spin else f"{connections:,} connection" + "s" * (connections > 1)
    sizes = {64: "64 bytes", 16384: "16 KiB"}
    flights = {1: "one", 32: "32"}
    group = "Others" if spin else f"Echo of {sizes[size]}, {flights[in_flight]} in flight"
    load = ("--size", str(size), "--in-flight", str(in_flight)) + ("--spin",) * spin
    servers = ECHO_SERVERS
    if in_flight == 1 and not spin:
        servers += LEASE_SERVERS + LIMITED_SERVERS * (size == 64)
    return Row(name, title, group, servers, load, connections, spin=spin,
               bytes_in_flight=connections * size * in_flight)


def operation_row(name, title, asio=True):
    servers = (COHO_OPERATIONS, ASIO_OPERATIONS) if asio else (COHO_OPERATIONS,)
    return Row(name, title, "Operations of tasks", servers, unit="operation", kind="operation")


ECHO_ROWS = [echo_row(connections, size, in_flight)
             for size in (64, 16384) for in_flight in (1, 32) for connections in (1, 64, 1_000, 10_000)]
ONE = echo_row(1, spin=True)
ROWS = {row.name: row for row in [
    *ECHO_ROWS,
    ONE,
    Row("accept", "Short connections", "Others", ECHO_SERVERS, ("--messages-each", "1"), connections=64,
        unit="connection",
        about="Connect, one message of 64 bytes there and back, reset: 64 clients, one after another each. The time "
              "is that from before the connection to the message's return."),
    Row("broadcast", "Broadcast to 1,000", "Others", BROADCAST_SERVERS, ("--work", "broadcast"), connections=1_000,
        unit="delivery",
        about="One connection sends 64 bytes, which the server sends to 1,000 others; the next message goes out when "
              "the last of them has it, and the time is that of the last."),
    Row("datagrams", "200-byte datagrams", "Others", DATAGRAM_SERVERS,
        ("--work", "datagrams", "--size", "200", "--in-flight", "32"), unit="datagram",
        about="32 in flight from one client; in batches, 8 of 64 datagrams, which the kernel divides and joins on "
              "both sides."),
    Row("memory", "8,000 connections that spoke once", "Memory of idle connections", ECHO_SERVERS + LEASE_SERVERS,
        ("--work", "idle"), connections=8_000, kind="memory",
        about="By how much the server's own memory (`Anonymous` in `/proc/PID/smaps_rollup`) grew, for each, while "
              "1,000 others had spoken before. The kernel's memory is not counted."),
    operation_row("call", "await a task that returns at once"),
    operation_row("yield", "yield to the ready queue"),
    operation_row("spawn-and-join", "spawn and join a task"),
    operation_row("spawn-many", "spawn a task, join a hundred", asio=False),
    operation_row("when-all", "await two tasks side by side"),
    operation_row("race", "race two tasks"),
    operation_row("timer", "cancel and arm one of 1,000 timers"),
    operation_row("timeout", "a timeout around what is ready"),
]}
SHORT_ROWS = [ONE, ROWS["echo-64"], ROWS["echo-1000"]]


# Figures


@dataclasses.dataclass(frozen=True)
class Metric:
    """The median of the rounds is shown, or the lowest."""

    title: str
    read: typing.Callable
    form: str
    lowest: bool = False
    more_is_better: bool = False


THROUGHPUT = Metric("a second", lambda it: it["messages_per_second"], ",.0f", more_is_better=True)
CPU = Metric("µs of CPU", lambda it: it["server_cpu_ns_per_message"] / 1000, ".2f")
P50 = Metric("p50 µs", lambda it: it["latency_us"]["p50"], ",.1f")
P99 = Metric("p99 µs", lambda it: it["latency_us"]["p99"], ",.1f")
P999 = Metric("p99.9 µs", lambda it: it["latency_us"]["p99.9"], ",.1f")
MEMORY = Metric("bytes each", lambda it: it["server_bytes_per_connection"], ",.0f")
NANOSECONDS = Metric("ns", lambda it: it["nanoseconds"], ",.1f", lowest=True)

OWN_C = "C, same kernel"
# Of each kind of row: a metric, or one as a ratio to a peer. "C" is the better of those in C.
COLUMNS = {
    "load": [(THROUGHPUT, ""), (THROUGHPUT, "C"), (THROUGHPUT, "blocking"), (CPU, ""), (CPU, "C"), (CPU, OWN_C),
             (CPU, "Asio"), (P50, ""), (P50, "blocking"), (P99, ""), (P999, "")],
    "memory": [(MEMORY, ""), (MEMORY, "C")],
    "operation": [(NANOSECONDS, ""), (NANOSECONDS, "Asio")],
}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A limit of each coho server in some rows, or of those whose names begin so: of a ratio to a peer or to itself
    in another row, or of the metric."""

    rows: tuple
    metric: Metric
    meaning: str
    base: str = ""
    base_row: str = ""
    least: float = 0
    most: float = float("inf")
    servers: str = "coho"


def echoes(*counts):
    return tuple(row.name for row in ECHO_ROWS if row.connections in counts)


WANTED = [
    Wanted(echoes(64, 1_000), CPU, "CPU per message, times the better C server", "C", most=1.03),
    Wanted(echoes(64, 1_000), CPU, "CPU per message, times C on the same kernel", OWN_C, most=1.03),
    Wanted(echoes(64, 1_000), THROUGHPUT, "messages/s, times the better C server", "C", least=0.97),
    Wanted(echoes(64, 1_000), CPU, "CPU per message, times Asio", "Asio", most=0.92),
    Wanted(echoes(64), THROUGHPUT, "messages/s, times blocking threads", "blocking", least=1.45),
    Wanted(echoes(1_000), THROUGHPUT, "messages/s, times blocking threads", "blocking", least=2.0),
    Wanted((ONE.name,), P50, "round trip, times blocking threads", "blocking", most=0.5),
    Wanted(("echo-10000",), CPU, "CPU per message, times the better C server", "C", most=1.03),
    Wanted(("echo-10000",), CPU, "CPU per message, times itself at 64 connections", base_row="echo-64", most=1.6),
    Wanted(("datagrams",), THROUGHPUT, "datagrams/s, times the blocking loop", "blocking", least=25,
           servers="coho in batches"),
    Wanted(("datagrams",), THROUGHPUT, "datagrams/s, times batches in C", "batches in C", least=0.9,
           servers="coho in batches"),
    Wanted(("memory",), MEMORY, "bytes of an idle connection", most=512, servers="coho with leases"),
    Wanted(("echo-64-16k", "echo-1000-16k"), CPU, "CPU per message, times the better C server", "C", most=1.05,
           servers="coho with leases"),
    Wanted(("call",), NANOSECONDS, "ns", most=5),
    Wanted(("yield",), NANOSECONDS, "ns", most=4),
    Wanted(("spawn-and-join",), NANOSECONDS, "ns", most=30),
    Wanted(("timer",), NANOSECONDS, "ns", most=20),
]
