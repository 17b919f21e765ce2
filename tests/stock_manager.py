#!/usr/bin/env python3
"""The faults that bursar is built for, done to Python's own multiprocessing.managers: a comparison to run by hand.

    python3 tests/stock_manager.py

It needs nothing but the standard library. Each row starts processes of its own, breaks one of them, and prints what was seen beside
what bursar promises in the same place. No row takes more than 10 s, and only processes that were started here are killed.
"""

import os
import queue
import resource
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from multiprocessing.managers import AcquirerProxy, BaseManager, DictProxy

AUTHKEY = b"of no use to anybody"
ROW_SECONDS = 10
# Long enough to say that something does not happen; what does happen takes milliseconds.
NOT_WITHIN = 3
SILENT = 1000


class Jobs(queue.Queue):
    """A queue that also says how many threads of the manager are blocked in get."""

    def blocked(self):
        return len(self.not_empty._waiters)


class Manager(BaseManager):
    """What one writes after reading the documentation: shared objects by name, behind an address and a key."""


def serve(address):
    """The manager's process."""
    jobs, settings, lock = Jobs(), {}, threading.Lock()
    exposed = ["put", "get", "task_done", "join", "qsize", "blocked"]
    Manager.register("jobs", callable=lambda: jobs, exposed=exposed)
    Manager.register("settings", callable=lambda: settings, proxytype=DictProxy)
    Manager.register("lock", callable=lambda: lock, proxytype=AcquirerProxy)
    server = Manager(address=address, authkey=AUTHKEY).get_server()
    print("ready", flush=True)
    server.serve_forever()


def connect(address):
    for name in ["jobs", "settings", "lock"]:
        Manager.register(name)
    manager = Manager(address=address, authkey=AUTHKEY)
    manager.connect()
    return manager


def hold(address):
    """A consumer that has an item and is not done with it."""
    connect(address).jobs().get()
    print("ready", flush=True)
    time.sleep(ROW_SECONDS)


def block(address):
    """A consumer that waits for an item."""
    jobs = connect(address).jobs()
    print("ready", flush=True)
    jobs.get()


def lock(address):
    """Somebody who holds the lock."""
    connect(address).lock().acquire()
    print("ready", flush=True)
    time.sleep(ROW_SECONDS)


class Stage:
    """The processes and the socket of one row."""

    def __init__(self):
        self.children = []
        self.directory = tempfile.TemporaryDirectory(prefix="stock-manager-")
        self.address = os.path.join(self.directory.name, "socket")

    def start(self, role):
        """Another process in this role; waits until it is ready. None: it ended instead."""
        child = subprocess.Popen(
            [sys.executable, __file__, role, self.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.children.append(child)
        return child if child.stdout.readline().strip() == "ready" else None

    def kill(self, child):
        """kill -9"""
        child.kill()
        child.wait()

    def clear(self):
        for child in self.children:
            self.kill(child)
        self.directory.cleanup()


def happens(action):
    """Whether an action ends in time, in whatever way."""
    thread = threading.Thread(target=lambda: outcome(action), daemon=True)
    thread.start()
    thread.join(NOT_WITHIN)
    return not thread.is_alive()


def outcome(action):
    """What an action gives, or how it fails."""
    try:
        return f"gives {action()!r}"
    except Exception as error:  # the stock manager raises anything, and which is what is to be shown
        # A RemoteError is a whole traceback between two rules: its last line says what happened.
        lines = [line for line in str(error).splitlines() if line.strip("- ")]
        return f"fails with {type(error).__name__}" + (f": {lines[-1][:90]}" if lines else "")


def until(holds):
    while not holds():
        time.sleep(0.01)


# The rows. Each gives what was seen.


def holder_killed(stage):
    stage.start("serve")
    jobs = connect(stage.address).jobs()
    jobs.put("item")
    stage.kill(stage.start("hold"))
    joined = happens(connect(stage.address).jobs().join)
    return f"the item is {'back' if jobs.qsize() else 'lost'}; join {'returned' if joined else f'had not returned after {NOT_WITHIN} s'}"


def getter_killed(stage):
    stage.start("serve")
    jobs = connect(stage.address).jobs()
    consumer = stage.start("block")
    until(lambda: jobs.blocked() == 1)
    stage.kill(consumer)
    still = jobs.blocked()
    jobs.put("item")
    time.sleep(0.5)
    got = outcome(lambda: jobs.get(True, 1))
    return f"{still} thread of the manager went on waiting for the dead process; the next item put: get by another {got}"


def lock_holder_killed(stage):
    stage.start("serve")
    lock = connect(stage.address).lock()
    stage.kill(stage.start("lock"))
    got = lock.acquire(True, NOT_WITHIN)
    return f"another {'got it' if got else f'had not got it after {NOT_WITHIN} s, and never will'}"


def silent_connections(stage):
    manager = stage.start("serve")
    status = f"/proc/{manager.pid}/status"

    def threads():
        with open(status, encoding="ascii") as file:
            return int(next(line.split()[1] for line in file if line.startswith("Threads:")))

    before, sockets = threads(), []
    for _ in range(SILENT):
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].connect(stage.address)
    until(lambda: threads() >= before + SILENT)
    time.sleep(NOT_WITHIN)
    after = threads()
    for silent in sockets:
        silent.close()
    return f"{SILENT} connections that prove nothing: {before} threads became {after}, and were so {NOT_WITHIN} s later; none is ever closed"


def restarted(stage):
    first = stage.start("serve")
    manager = connect(stage.address)
    jobs, settings = manager.jobs(), manager.settings()
    settings["key"] = "value"
    stage.kill(first)
    os.unlink(stage.address)  # the next row says why
    stage.start("serve")
    again, seen = outcome(jobs.qsize), []
    # A thread has a connection of its own: this one connects to the new manager.
    happens(lambda: seen.append(outcome(jobs.qsize)))
    value = outcome(lambda: connect(stage.address).settings().get("key"))
    return f"the old proxy {again}; in a thread with a new connection it {''.join(seen)}; what was in the dict: a new proxy {value}"


def stale_socket(stage):
    stage.kill(stage.start("serve"))
    left = os.path.exists(stage.address)
    second = stage.start("serve")
    if second is not None:
        return "the manager started again"
    error = stage.children[-1].stderr.read().strip().splitlines()[-1]
    return f"the socket file is {'left behind' if left else 'gone'}; the manager does not start again: {error}"


ROWS = [
    (
        "a consumer is killed between get and task_done",
        holder_killed,
        "The lease ends when the process exits: the item is at the head again (attempt 2), and join waits for exactly that long.",
    ),
    (
        "a consumer is killed while it waits in get",
        getter_killed,
        "Its wait is cancelled with its session: the next item goes to somebody who lives.",
    ),
    (
        "a process is killed while it holds a lock",
        lock_holder_killed,
        "The lock goes to the next in line at once; what the dead process had still under way is refused by its fence.",
    ),
    (
        f"{SILENT} connections are opened, and nothing is sent",
        silent_connections,
        "At most 256 that have proved no key, each closed after 5 s; a connection costs no thread.",
    ),
    (
        "the manager is killed and started again",
        restarted,
        "Every call, waiting ones too, fails with the error that the session is lost, and one can wait for that; a new "
        "Manager connects to the same address. The memory engine keeps nothing across a restart, and says so (`survives`).",
    ),
    (
        "the manager is killed, and started again on its socket",
        stale_socket,
        "A socket that nobody listens on is replaced; one that lives never is. A lock beside it tells which.",
    ),
]


def show(what, text):
    print(textwrap.fill(text, 110, initial_indent=f"  {what:<9}", subsequent_indent=" " * 11), flush=True)


def perform(scene):
    """Runs one row within its time."""
    seen, stage = [], Stage()
    row = threading.Thread(target=lambda: seen.append(outcome(lambda: scene(stage))), daemon=True)
    row.start()
    row.join(ROW_SECONDS)
    stage.clear()
    return seen[0] if seen else f"had not ended after {ROW_SECONDS} s"


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"multiprocessing.managers of Python {sys.version.split()[0]}\n")
    for title, scene, promise in ROWS:
        print(title)
        show("stock", perform(scene).removeprefix("gives ").strip("'\""))
        show("bursar", promise)
        print()


if __name__ == "__main__":
    roles = {"serve": serve, "hold": hold, "block": block, "lock": lock}
    match sys.argv[1:]:
        case []:
            main()
        case [role, address] if role in roles:
            roles[role](address)
        case _:
            sys.exit(__doc__)
