"""Runs servers and loads, and keeps what the loads report."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import select
import shlex
import subprocess
import sys

from building import Failure
from suite import SPIN_MICROSECONDS

EXIT_STATUS_SKIPPED = 77  # of a server that the machine refuses what it is about
PATIENCE_SECONDS = 10
LONGEST_LOAD_SECONDS = 120  # to connect, to warm up, to drain
DESCRIPTORS_BESIDES = 100


class Skipped(Exception):
    """Why this machine cannot do it, for the reader."""


@dataclasses.dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: float
    warm_up: float
    most_connections: int = 1_000_000

    def rounds_of(self, row):
        if row.kind == "memory":
            return 1  # the same to a page each time
        return max(1, self.rounds // 2) if row.is_heavy else self.rounds

    def warm_up_of(self, row):
        return max(self.warm_up, 0.5) if row.is_heavy and self.warm_up else self.warm_up


def note(text):
    print(text, file=sys.stderr, flush=True)


def start(command, cpu):
    """Starts what is to be pinned, from its first instruction on: threads inherit it."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )


@contextlib.contextmanager
def running(command, cpu):
    """A server and its first line of output, empty when it ended or said nothing in time."""
    server = start(command, cpu)
    try:
        ready, _, _ = select.select([server.stdout], [], [], PATIENCE_SECONDS)
        yield server, server.stdout.readline() if ready else ""
    finally:
        stop(server)


def stop(process):
    """Ends the process and gives what it had written to standard error."""
    process.terminate()
    try:
        return process.communicate(timeout=PATIENCE_SECONDS)[1].strip()
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1].strip()


def server_command(build, server, row):
    command = [str(build / server.program), "--listen", "127.0.0.1:0", *server.arguments]
    if row.spin and server.is_coho:
        command += ["--spin", str(SPIN_MICROSECONDS)]
    return command


def load_command(build, server, row, effort, address, pid):
    connections = min(row.connections, effort.most_connections)
    return [str(build / "benchmarks/load"), "--connect", address, "--connections", str(connections),
            "--seconds", str(effort.seconds), "--warm-up", str(effort.warm_up_of(row)),
            "--server-pid", str(pid), *row.load, *server.load]


def measure(build, server, row, effort, cpus):
    """What the load reported. Raises Skipped where the server says that the machine refuses it."""
    if row.kind == "operation":
        return measure_operation(build, server, row, effort, cpus[0])
    command = server_command(build, server, row)
    with running(command, cpus[0]) as (process, line):
        listening = re.match(r"listening on (\S+)", line)
        if not listening:
            said = stop(process)
            if process.returncode == EXIT_STATUS_SKIPPED:
                raise Skipped(said)
            raise Failure(f"{shlex.join(command)}: {said or 'it does not listen'}")
        loading = load_command(build, server, row, effort, listening[1], process.pid)
        load = start(loading, cpus[1])
        try:
            output, complaint = load.communicate(timeout=effort.seconds + LONGEST_LOAD_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"{shlex.join(command)}\n{shlex.join(loading)}\nthe load does not end") from None
        finally:
            stop(load)
        if load.returncode != 0 or process.poll() is not None:
            said = stop(process)
            if process.returncode == EXIT_STATUS_SKIPPED:
                raise Skipped(said)
            raise Failure(
                f"{shlex.join(command)}\n{shlex.join(loading)}\n"
                f"the load said: {(complaint + output).strip()}\n"
                f"the server said: {said or 'nothing'}"
            )
        return json.loads(output)


def measure_operation(build, server, row, effort, cpu):
    command = [str(build / server.program), f"--benchmark_filter=^{row.name}$", "--benchmark_format=json",
               f"--benchmark_min_time={effort.seconds / 8:g}"]
    process = start(command, cpu)
    output, complaint = process.communicate()
    if process.returncode != 0:
        raise Failure(f"{shlex.join(command)}: {complaint.strip() or 'it failed'}")
    benchmark = json.loads(output)["benchmarks"][0]
    if benchmark["time_unit"] != "ns":
        raise Failure(f"{shlex.join(command)} does not count in nanoseconds")
    return {"nanoseconds": benchmark["cpu_time"]}


def choose_cpus():
    """One for the server, another for the load: not two threads of one core where it can be."""
    server_cpu, *others = sorted(os.sched_getaffinity(0))
    if not others:
        note("only one CPU: server and load share it, and the figures say little")
        return server_cpu, server_cpu
    topology = pathlib.Path(f"/sys/devices/system/cpu/cpu{server_cpu}/topology")
    with contextlib.suppress(OSError):
        same_core = int((topology / "core_cpus").read_text().replace(",", ""), 16)
        others = [cpu for cpu in others if not same_core >> cpu & 1] or others
    return server_cpu, others[0]


def obstacle(row, effort):
    """Why this machine cannot do the row; empty where it can."""
    connections = min(row.connections, effort.most_connections)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < connections + DESCRIPTORS_BESIDES:
        return (f"{connections:,} connections are more than the {most:,} descriptors a process may have here "
                f"(RLIMIT_NOFILE; as root: ulimit -Hn {connections + DESCRIPTORS_BESIDES})")
    in_flight = row.bytes_in_flight // row.connections * connections
    with contextlib.suppress(OSError):
        limit = int(pathlib.Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[1]) * resource.getpagesize()
        if in_flight > limit:
            return (f"{in_flight:,} bytes in flight are more than the {limit:,} that the kernel lends to TCP "
                    "before it slows down (net.ipv4.tcp_mem)")
    return ""


def choose_servers(build, row, io_uring_refusal, left_out):
    """Those of a row that were built and may run; left_out gathers sentences about the others."""
    chosen = []
    for server in row.servers:
        if not (build / server.program).is_file():
            if not server.package:
                raise Failure(f"{build / server.program} is missing: meson compile -C {build}")
            left_out[f"{server.program} left out: it was not built (Debian: apt install {server.package})"] = None
        elif server.needs_io_uring and io_uring_refusal:
            left_out[f"{server.name} left out: {io_uring_refusal}"] = None
        else:
            chosen.append(server)
    return chosen


def io_uring_refusal(build, cpu):
    """Why the kernel gives no ring; empty where it does."""
    with running([str(build / "benchmarks/io_uring_echo"), "--listen", "127.0.0.1:0"], cpu) as (process, _):
        complaint = stop(process)
        return complaint if process.returncode == EXIT_STATUS_SKIPPED else ""


def plan(build, rows, effort, cpus):
    """The servers of each row that can be measured here, and a sentence for each that cannot."""
    for program in ("benchmarks/load", "benchmarks/io_uring_echo"):
        if not (build / program).is_file():
            raise Failure(f"{build / program} is missing: meson compile -C {build}")
    refusal = io_uring_refusal(build, cpus[0])
    possible, left_out = {}, {}
    for row in rows:
        if sentence := obstacle(row, effort):
            left_out[f"{row.name} left out: {sentence}"] = None
        elif servers := choose_servers(build, row, refusal, left_out):
            possible[row] = servers
    return possible, list(left_out)


def measure_all(build, possible, effort, cpus, left_out):
    """What was reported in each round, by row and server: they take turns within each round."""
    results = {row: {server: [] for server in servers} for row, servers in possible.items()}
    total = sum(effort.rounds_of(row) * len(servers) for row, servers in possible.items())
    done = 0
    for number in range(1, effort.rounds + 1):
        for row, by_server in results.items():
            if number > effort.rounds_of(row):
                continue
            # Another begins each time, so that what one leaves behind is not always the same one's.
            servers = list(by_server)
            begin = number % len(servers) if servers else 0
            for server in servers[begin:] + servers[:begin]:
                done += 1
                progress = f"{done:4} of {total}  round {number}  {row.name}, {server.name}: "
                try:
                    measured = measure(build, server, row, effort, cpus)
                except Skipped as skipped:
                    left_out.append(f"{server.name} left out of {row.name}: {skipped}")
                    note(progress + str(skipped))
                    total -= effort.rounds_of(row) - number
                    del by_server[server]
                    continue
                by_server[server].append(measured)
                note(progress + brief(row, measured))
    return {row: by_server for row, by_server in results.items() if by_server}


def brief(row, measured):
    if row.kind == "operation":
        return f"{measured['nanoseconds']:,.1f} ns"
    if row.kind == "memory":
        return f"{measured['server_bytes_per_connection']:,.0f} bytes each"
    return (f"{measured['messages_per_second']:,.0f} a second, "
            f"{measured['server_cpu_ns_per_message'] / 1000:.2f} µs of CPU each")
