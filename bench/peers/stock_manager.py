"""The stock Python manager at work: a JoinableQueue behind a BaseManager on a Unix socket.

Starts the manager's process, does one thing with it, and prints one figure: seconds, microseconds or bytes. Producers and consumers
are processes with a connection each, because threads of one process would wait for each other.
"""

import argparse
import multiprocessing
import os
import queue
import statistics
import tempfile
import time
from multiprocessing.managers import BaseManager

WORK = queue.Queue()  # what SyncManager.JoinableQueue shares


def work():
    return WORK


class Manager(BaseManager):
    pass


Manager.register("work", callable=work)


def connect(address, key):
    manager = Manager(address, authkey=key)
    manager.connect()
    return manager.work()


def produce(address, key, barrier, count, item):
    jobs = connect(address, key)
    jobs.qsize()
    barrier.wait()
    for _ in range(count):
        jobs.put(item)


def consume(address, key, barrier):
    jobs = connect(address, key)
    jobs.qsize()
    barrier.wait()
    while jobs.get() is not None:
        jobs.task_done()


def throughput(args, address, key):
    barrier = multiprocessing.Barrier(args.producers + args.consumers + 1)
    item = b"x" * args.payload
    share = args.count // args.producers
    producers = [multiprocessing.Process(target=produce, args=(address, key, barrier, share, item)) for _ in range(args.producers)]
    consumers = [multiprocessing.Process(target=consume, args=(address, key, barrier)) for _ in range(args.consumers)]
    for process in producers + consumers:
        process.start()
    jobs = connect(address, key)
    barrier.wait()
    start = time.perf_counter()
    for process in producers:
        process.join()
    jobs.join()
    elapsed = time.perf_counter() - start
    for _ in consumers:
        jobs.put(None)
    for process in consumers:
        process.join()
    return elapsed


def p50(count, step):
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        step()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def put(args, address, key):
    jobs = connect(address, key)
    item = b"x" * args.payload
    return p50(args.count, lambda: jobs.put(item))


def put_get_done(args, address, key):
    jobs = connect(address, key)
    item = b"x" * args.payload

    def step():
        jobs.put(item)
        jobs.get()
        jobs.task_done()

    return p50(args.count, step)


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(args, address, key, pid):
    jobs = connect(address, key)
    item = b"x" * args.payload
    before = resident(pid)
    for _ in range(args.count):
        jobs.put(item)
    return (resident(pid) - before) / args.count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "put", "put_get_done", "memory"])
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--payload", type=int, default=100)
    args = parser.parse_args()
    multiprocessing.set_start_method("fork")
    with tempfile.TemporaryDirectory() as directory:
        address, key = os.path.join(directory, "socket"), os.urandom(32)
        manager = Manager(address, authkey=key)
        manager.start()
        try:
            if args.what == "memory":
                figure = memory(args, address, key, manager._process.pid)
            else:
                figure = {"throughput": throughput, "put": put, "put_get_done": put_get_done}[args.what](args, address, key)
            print(figure)
        finally:
            manager.shutdown()


if __name__ == "__main__":
    main()
