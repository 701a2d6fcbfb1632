"""What can be done to a process before it becomes the server: fewer descriptors, no io_uring, and a network
that can be cut."""

import ctypes
import fcntl
import functools
import os
import pathlib
import pickle
import resource
import signal
import socket
import struct
import sys

from .common import Skipped

libc = ctypes.CDLL(None, use_errno=True)


def checked(outcome, call):
    if outcome != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")


def die_with_parent():
    """No orphan is left, even if we are killed."""
    set_parent_death_signal = 1
    checked(libc.prctl(set_parent_death_signal, signal.SIGKILL), "prctl")


def limit_descriptors(count):
    """Soft and hard, because some runtimes raise the soft limit at once."""
    return functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (count, count))


# The numbers of these calls are the same on every architecture.
IO_URING_SETUP, IO_URING_ENTER, IO_URING_REGISTER = 425, 426, 427


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse_calls(numbers, reason):
    """A seccomp filter, as containers have it: these system calls fail with the errno `reason`."""
    load, jump_if_equal, give = 0x20, 0x15, 0x06
    allow, fail = 0x7FFF0000, 0x00050000 | reason
    listing = [(load, 0, 0, 0)]
    listing += [(jump_if_equal, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    listing += [(give, 0, 0, allow), (give, 0, 0, fail)]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in listing)
    program = FilterProgram(len(listing), code)

    def install():
        set_no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
        checked(libc.prctl(set_no_new_privileges, 1, 0, 0, 0), "prctl")
        checked(libc.prctl(set_seccomp, filter_mode, ctypes.byref(program)), "seccomp")

    return install


def prepare_child(restrictions):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells ignore it for what runs in the background
    if sys.platform == "linux":
        die_with_parent()
    for restriction in restrictions:
        restriction()


def in_network_of_its_own(run):
    """Calls it in a process that has a loopback of its own, and raises here what it raised there."""
    if sys.platform != "linux":
        raise Skipped("network namespaces are of Linux")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = None
        try:
            enter_network_namespace()
            run()
        except BaseException as failure:
            outcome = failure
        with open(writing, "wb") as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        outcome = pickle.load(pipe)
    os.waitpid(child, 0)
    if outcome is not None:
        raise outcome


def enter_network_namespace():
    user, group = os.getuid(), os.getgid()
    new_user, new_network = 0x10000000, 0x40000000
    try:
        if libc.unshare(new_network) != 0:
            checked(libc.unshare(new_user | new_network), "unshare")
            pathlib.Path("/proc/self/setgroups").write_text("deny")
            pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        set_loopback(up=True)
    except OSError as failure:
        raise Skipped(f"no network of its own is permitted here ({failure.strerror})") from None


def set_loopback(up):
    set_flags, is_up = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh22x", b"lo", is_up if up else 0))
