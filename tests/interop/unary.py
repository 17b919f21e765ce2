"""One rpc per verb: the queue, the key-value store, the names, and how refusals look. ADDRESS KEY_FILE"""

import sys
import threading

import grpc

import wire
from bursar.v1 import common_pb2, kv_pb2, queue_pb2, registry_pb2
from wire import expect, expect_that, eventually, refused

Code = grpc.StatusCode
Item, Value = queue_pb2.Item, common_pb2.Value


class Queue:
    """The verbs of one queue, with the object filled in."""

    def __init__(self, broker, object):
        self.broker, self.object = broker, object

    def __getattr__(self, verb):
        request = getattr(queue_pb2, f"{verb}Request")
        return lambda **fields: getattr(self.broker.queue, verb)(request(object=self.object, **fields))

    def future(self, verb, **fields):
        return getattr(self.broker.queue, verb).future(getattr(queue_pb2, f"{verb}Request")(object=self.object, **fields))

    def put(self, *payloads):
        return list(self.Put(items=[Item(data=payload) for payload in payloads]).ids)

    def get(self, **fields):
        return list(self.Get(**fields).items)

    def figures(self, *names):
        stats = self.Stats()
        return tuple(getattr(stats, name) for name in names)


class Kv:
    """The verbs of one key-value store, with the object filled in."""

    def __init__(self, broker, object):
        self.broker, self.object = broker, object

    def __getattr__(self, verb):
        request = getattr(kv_pb2, f"{verb}Request")
        return lambda **fields: getattr(self.broker.kv, verb)(request(object=self.object, **fields))


def payloads(items):
    return [item.data for item in items]


def put_get_done_join(broker):
    jobs = Queue(broker, broker.new_queue())
    expect(jobs.put(b"one", b"two", b"three"), [1, 2, 3], "the ids of three items")
    items = jobs.get(max=2)
    expect(payloads(items), [b"one", b"two"], "first in, first out")
    expect([(item.attempt, item.failures, item.crashes, item.codec) for item in items], [(1, 0, 0, 0)] * 2, "first attempts")
    expect(jobs.figures("ready", "leased", "unfinished"), (1, 2, 3), "figures with two leases")
    refused(Code.DEADLINE_EXCEEDED, "TimedOut", lambda: jobs.Join(wait_ms=1))
    joined = jobs.future("Join", wait_ms=-1)
    jobs.Done(leases=[item.lease for item in items])
    jobs.Done(leases=[items[0].lease])  # a second time is no fault
    expect(joined.done(), False, "join while an item is unfinished")
    last = jobs.get()
    expect(payloads(last), [b"three"], "the third item")
    jobs.Done(oldest=1)
    joined.result(wire.PATIENCE)
    fault = refused(Code.FAILED_PRECONDITION, "TooManyDone", lambda: jobs.Done(oldest=1))
    expect(dict(fault.fields), {"asked": "1", "held": "0"}, "fields of TooManyDone")
    fault = refused(Code.FAILED_PRECONDITION, "NotHeld", lambda: jobs.Done(leases=[999]))
    expect(dict(fault.fields), {"lease": "999"}, "fields of NotHeld")
    refused(Code.FAILED_PRECONDITION, "Empty", lambda: jobs.Get())
    expect(jobs.figures("put", "done", "unfinished"), (3, 3, 0), "figures at the end")


def options_of_items(broker):
    jobs = Queue(broker, broker.new_queue(maxsize=4))
    items = [
        Item(data=b"plain", codec=1),
        Item(data=b"urgent", priority=255, headers={"trace": "7"}),
        Item(data=b"once", unique_key=b"k"),
        Item(data=b"twice", unique_key=b"k"),
        Item(data=b"later", delay_ms=3_600_000),
        Item(data=b"no room"),
    ]
    put = jobs.Put(items=items)
    expect((list(put.ids), list(put.duplicates)), ([1, 2, 3, 3, 4], [3]), "as many as fit, one of them a duplicate")
    fault = refused(Code.RESOURCE_EXHAUSTED, "Full", lambda: jobs.put(b"no room"))
    expect(fault.fields["maxsize"], "4", "fields of Full")
    expect(payloads(jobs.Peek(limit=10).items), [b"urgent", b"plain", b"once"], "peek shows the order of delivery")
    urgent, plain = jobs.get(max=2)
    expect((urgent.data, urgent.priority, dict(urgent.headers), plain.codec), (b"urgent", 255, {"trace": "7"}, 1), "what an item carries")
    fault = refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: jobs.Put(items=[Item(priority=256)]))
    expect(fault.fields["argument"], "priority", "which argument is wrong")
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: jobs.Get(wait_ms=-2))
    expect(jobs.figures("ready", "delayed", "leased", "bytes"), (1, 1, 2, 10), "figures of ready, delayed, leased")
    expect(jobs.Purge().count, 2, "what purge drops")


def a_put_waits_for_room(broker):
    jobs = Queue(broker, broker.new_queue(maxsize=1))
    jobs.put(b"first")
    second = jobs.future("Put", items=[Item(data=b"second")], wait_ms=-1)
    expect(payloads(jobs.get()), [b"first"], "the only item")
    expect(list(second.result(wire.PATIENCE).ids), [2], "the id of the put that waited")


def returning_and_parking(broker):
    jobs = Queue(broker, broker.new_queue(max_failures=2, retry_delay_ms=1))
    jobs.put(b"a", b"b")
    first = jobs.get()[0]
    jobs.Return(leases=[first.lease])
    again = jobs.get()[0]
    expect((again.data, again.attempt, again.failures), (b"a", 2, 0), "a released item is at the head again")
    refused(Code.FAILED_PRECONDITION, "NotHeld", lambda: jobs.Return(leases=[first.lease]))
    jobs.Return(leases=[again.lease], reason=queue_pb2.FAILED, delay_ms=0, why="no luck")
    expect(payloads(jobs.get()), [b"b"], "a failed item goes behind the others")
    failed = jobs.get()[0]
    expect((failed.data, failed.attempt, failed.failures), (b"a", 3, 1), "the failed item")
    expect(jobs.Return(leases=[failed.lease], reason=queue_pb2.FAILED, why="again").parked, 1, "parked at the limit")
    parked = jobs.Parked().items
    expect([(item.item.data, item.item.failures) for item in parked], [(b"a", 2)], "the parked item")
    expect([event.what for event in parked[0].history], ["released", "failed", "failed", "parked"], "its history")
    expect(jobs.Unpark().count, 1, "unparked")
    jobs.Park(ids=[1], why="by hand")
    expect((jobs.Parked().items[0].why, jobs.Discard(ids=[1]).count), ("by hand", 1), "parked by hand, and discarded")
    expect(jobs.figures("put", "done", "dropped", "leased", "parked"), (2, 0, 1, 1, 0), "the books")


def pages_of_parked_items(broker):
    """A reply has at most 1 MiB of payloads, or one item."""
    jobs, half = Queue(broker, broker.new_queue()), bytes(600 << 10)
    jobs.put(half, half, half)
    jobs.Park(ids=[1, 2, 3])
    page = jobs.Parked(limit=1000)
    expect(([item.item.id for item in page.items], page.more), ([1], True), "the first page")
    page = jobs.Parked(after_id=2)
    expect(([item.item.id for item in page.items], page.more), ([3], False), "the last page")


def buffering(address, secret, broker):
    """What is only buffered goes to whoever asks, and is no attempt."""
    other = wire.Broker(address, secret)
    jobs = Queue(broker, broker.new_queue(max_failures=1))
    theirs = Queue(other, jobs.object)
    jobs.put(b"a", b"b")
    first, second = theirs.get(max=2, buffered=True)
    taken = jobs.get()[0]
    expect((taken.data, taken.attempt, taken.lease != second.lease), (b"b", 1, True), "the newest buffered item")
    expect(list(theirs.Start(leases=[first.lease, second.lease]).not_held), [second.lease], "what was taken back")
    refused(Code.FAILED_PRECONDITION, "Empty", lambda: jobs.Get())
    jobs.put(b"c")
    third = theirs.get(buffered=True)[0]
    returned = theirs.Return(leases=[third.lease], reason=queue_pb2.FAILED)
    expect((returned.parked, jobs.get()[0].failures), (0, 0), "a buffered item cannot fail")
    other.close()


def a_lease_goes_back_when_the_connection_closes(address, secret, broker):
    jobs = Queue(broker, broker.new_queue())
    jobs.put(b"precious")
    other = wire.Broker(address, secret)
    lease = Queue(other, jobs.object).get()[0].lease
    refused(Code.FAILED_PRECONDITION, "NotHeld", lambda: jobs.Done(leases=[lease]))
    waiting = jobs.future("Get", wait_ms=-1)
    other.close()
    item = waiting.result(wire.PATIENCE).items[0]
    expect((item.data, item.attempt, item.crashes), (b"precious", 2, 1), "the item of a connection that closed")
    jobs.Done(leases=[item.lease])
    jobs.Join()


def a_cancelled_get_swallows_nothing(broker):
    jobs = Queue(broker, broker.new_queue())
    waiting = jobs.future("Get", wait_ms=-1)
    eventually(lambda: described(broker, jobs.object).waiting == 1, "the get stands in line")
    waiting.cancel()
    eventually(lambda: described(broker, jobs.object).waiting == 0, "the cancelled get has left the line")
    jobs.put(b"x")
    expect(payloads(jobs.get()), [b"x"], "the item behind a cancelled get")


def closing(broker):
    jobs = Queue(broker, broker.new_queue())
    jobs.put(b"last")
    jobs.Pause()
    refused(Code.FAILED_PRECONDITION, "Empty", lambda: jobs.Get())
    jobs.Pause(resume=True)
    jobs.Close()
    refused(Code.FAILED_PRECONDITION, "Closed", lambda: jobs.put(b"too late"))
    jobs.Done(leases=[jobs.get()[0].lease])
    refused(Code.FAILED_PRECONDITION, "Closed", lambda: jobs.Get(wait_ms=-1))


def names(broker):
    name = wire.new_name()
    options = registry_pb2.Options(queue=queue_pb2.Options(maxsize=7))
    made = broker.registry.Open(registry_pb2.OpenRequest(name=name, mode=registry_pb2.CREATE, options=options))
    expect((made.created, made.options.queue.maxsize, made.options.queue.max_failures), (True, 7, 10), "options written out")
    fault = refused(
        Code.ALREADY_EXISTS,
        "AlreadyExists",
        lambda: broker.registry.Open(registry_pb2.OpenRequest(name=name, mode=registry_pb2.CREATE, options=options)),
    )
    expect(fault.fields["epoch"], str(made.epoch), "fields of AlreadyExists")
    other = registry_pb2.Options(queue=queue_pb2.Options(maxsize=8))
    fault = refused(
        Code.FAILED_PRECONDITION, "Mismatch", lambda: broker.registry.Open(registry_pb2.OpenRequest(name=name, options=other))
    )
    expect((fault.fields["what"], fault.fields["expected"], fault.fields["actual"]), ("maxsize", "8", "7"), "fields of Mismatch")
    refused(Code.NOT_FOUND, "NoSuchObject", lambda: described(broker, common_pb2.ObjectRef(name=wire.new_name())))
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: described(broker, common_pb2.ObjectRef(name="two words")))
    listed = broker.registry.List(registry_pb2.ListRequest(prefix=name)).objects
    expect([(object.name, object.kind, object.epoch) for object in listed], [(name, "queue", made.epoch)], "the list")
    handle = common_pb2.ObjectRef(name=name, epoch=made.epoch)
    waiting = Queue(broker, handle).future("Get", wait_ms=-1)
    eventually(lambda: described(broker, handle).waiting == 1, "the get stands in line")
    broker.registry.Delete(registry_pb2.DeleteRequest(object=handle))
    refused(Code.FAILED_PRECONDITION, "Gone", lambda: waiting.result(wire.PATIENCE))
    again = broker.registry.Open(registry_pb2.OpenRequest(name=name, mode=registry_pb2.CREATE, options=options))
    expect_that(again.epoch > made.epoch, "epochs grow")
    fault = refused(Code.FAILED_PRECONDITION, "Gone", lambda: Queue(broker, handle).Stats())
    expect(fault.fields["new_epoch"], str(again.epoch), "fields of Gone")


def described(broker, object):
    return broker.registry.Describe(registry_pb2.DescribeRequest(object=object)).object


def an_ephemeral_object_goes_with_its_opener(address, secret, broker):
    name, other = wire.new_name(), wire.Broker(address, secret)
    options = registry_pb2.Options(kv=kv_pb2.Options())
    other.registry.Open(registry_pb2.OpenRequest(name=name, options=options, ephemeral=True))
    expect(described(broker, common_pb2.ObjectRef(name=name)).ephemeral, True, "an ephemeral object")
    other.close()
    eventually(lambda: not broker.registry.List(registry_pb2.ListRequest(prefix=name)).objects, "it goes with its opener")


def keys_and_conditions(broker):
    kv = Kv(broker, broker.new_kv())
    expect(kv.Get(key="a").HasField("entry"), False, "an absent key")
    put = kv.Put(key="a", value=Value(data=b"1", codec=2))
    expect((put.revision, put.HasField("previous")), (1, False), "the first put")
    put = kv.Put(key="a", value=Value(data=b"2", codec=2), condition=kv_pb2.Condition(revision=1))
    expect((put.revision, put.previous.value.data), (2, b"1"), "a put under a condition that holds")
    for condition in [kv_pb2.Condition(revision=1), kv_pb2.Condition(absent=True)]:
        put = lambda: kv.Put(key="a", value=Value(), condition=condition)
        fault = refused(Code.ABORTED, "RevisionMismatch", put)
        expect(dict(fault.fields), {"key": "a", "actual": "2"}, "fields of RevisionMismatch")
    entry = kv.Get(key="a").entry
    expect((entry.value.data, entry.value.codec, entry.create_revision, entry.modify_revision), (b"2", 2, 1, 2), "the entry")
    expect(kv.SetDefault(key="a", value=Value(data=b"9")).entry.value.data, b"2", "setdefault of a present key")
    expect(kv.SetDefault(key="b", value=Value(data=b"9")).created, True, "setdefault of an absent key")
    expect((kv.Contains(key="b").contains, kv.Len().len), (True, 2), "contains and len")
    expect(kv.Delete(key="b").previous.value.data, b"9", "delete says what was there")
    expect(kv.Delete(key="b").HasField("previous"), False, "delete of an absent key")
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: kv.Get(key=""))
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: kv.Put(key="no value"))


def integers(broker):
    kv = Kv(broker, broker.new_kv())
    expect([kv.Incr(key="n", by=by).value for by in (1, 41, -50)], [1, 42, -8], "incr")
    value = kv.Get(key="n").entry.value
    expect((value.codec, value.data), (1, b"\xf8"), "-8 in MessagePack")
    kv.Put(key="json", value=Value(data=b" 41 ", codec=2))
    expect((kv.Incr(key="json", by=1).value, kv.Get(key="json").entry.value.data), (42, b"42"), "incr keeps JSON")
    kv.Put(key="text", value=Value(data=b"41"))
    fault = refused(Code.FAILED_PRECONDITION, "NotAnInteger", lambda: kv.Incr(key="text", by=1))
    expect(dict(fault.fields), {"key": "text", "codec": "0"}, "fields of NotAnInteger")
    kv.Incr(key="n", by=2**63 - 1)
    refused(Code.OUT_OF_RANGE, "Overflow", lambda: kv.Incr(key="n", by=9))


def scans(broker):
    kv = Kv(broker, broker.new_kv())
    for key in ["b/2", "a/1", "b/1", "b/3", "c"]:
        kv.Put(key=key, value=Value(data=key.encode()))
    page = kv.Scan(prefix="b/", limit=2)
    expect(([entry.key for entry in page.entries], page.more, page.revision), (["b/1", "b/2"], True, 5), "a page")
    page = kv.Scan(prefix="b/", after="b/2", keys_only=True)
    expect(([entry.key for entry in page.entries], page.more), (["b/3"], False), "the last page")
    expect(page.entries[0].HasField("value"), False, "keys only")
    expect((kv.Clear(prefix="b/").count, kv.Len().len), (3, 2), "clear")


def lifetimes(address, secret, broker):
    kv, other = Kv(broker, broker.new_kv()), wire.Broker(address, secret)
    kv.Put(key="short", value=Value(data=b"x"), ttl_ms=1)
    eventually(lambda: not kv.Contains(key="short").contains, "the ttl is over")
    kv.Put(key="long", value=Value(data=b"x"), ttl_ms=3_600_000)
    expect_that(0 < kv.Get(key="long").entry.ttl_left_ms <= 3_600_000, "the rest of a ttl")
    expect((kv.Expire(key="long").found, kv.Get(key="long").entry.ttl_left_ms), (True, 0), "persist")
    expect(kv.Expire(key="none").found, False, "expire of an absent key")
    Kv(other, kv.object).Put(key="bound", value=Value(data=b"x"), bind=True)
    expect_that(kv.Get(key="bound").entry.session != 0, "the session of a bound key")
    other.close()
    eventually(lambda: not kv.Contains(key="bound").contains, "a bound key goes with the connection")


def watching(broker):
    kv = Kv(broker, broker.new_kv(events_max=4))
    kv.Put(key="a/1", value=Value(data=b"1"))
    kv.Put(key="b/1", value=Value(data=b"other"))
    reply = kv.Next(prefix="a/", after=0)
    events = [(event.revision, event.key, event.entry.value.data, event.cause) for event in reply.events]
    expect((events, reply.upto, reply.reset), ([(1, "a/1", b"1", "put")], 2, False), "what happened under a/")
    expect(kv.Next(prefix="a/", after=2).upto, 2, "nothing has happened since")
    refused(Code.DEADLINE_EXCEEDED, "TimedOut", lambda: kv.Next(prefix="a/", after=2, wait_ms=1))
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: kv.Next(after=99))
    for number in range(5):
        kv.Put(key="a/2", value=Value(data=str(number).encode()))
    expect((kv.Next(after=1).reset, kv.Next(after=3).reset), (True, False), "events that are not kept any more")

    watch = broker.kv.Watch(kv_pb2.WatchRequest(object=kv.object, prefix="a/"))
    seen, state, count, synced = [], {}, threading.Semaphore(0), []

    def follow():
        try:
            for reply in watch:
                if reply.reset:
                    state.clear()
                if reply.synced:
                    synced.append(len(seen) + len(reply.events))
                for event in reply.events:
                    seen.append(event.cause)
                    if event.HasField("entry"):
                        state[event.key] = event.entry.value.data
                    else:
                        state.pop(event.key, None)
                    count.release()
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=follow)
    thread.start()

    def await_events(number):
        for _ in range(number):
            expect_that(count.acquire(timeout=wire.PATIENCE), "an event arrives")

    await_events(2)
    expect(state, {"a/1": b"1", "a/2": b"4"}, "the map as the watch shows it first")
    kv.Put(key="b/2", value=Value(data=b"other"))
    kv.Put(key="a/3", value=Value(data=b"new"))
    kv.Delete(key="a/1")
    kv.Put(key="a/2", value=Value(data=b"x"), ttl_ms=1)
    await_events(4)
    expect((state, seen[2:]), ({"a/3": b"new"}, ["put", "delete", "put", "expired"]), "the watch, folded")
    expect(synced, [2], "the end of the map is marked, once")
    watch.cancel()
    thread.join()
    eventually(lambda: described(broker, kv.object).waiting == 0, "a cancelled watch leaves the line")


def large_things(broker):
    """A unary message has at most 4 MiB; larger payloads need the session stream."""
    jobs, large = Queue(broker, broker.new_queue()), bytes(range(256)) * (3 << 12)
    jobs.put(large)
    expect(jobs.get()[0].data == large, True, "3 MiB there and back")
    try:
        jobs.put(bytes(5 << 20))
        sys.exit("BROKEN: 5 MiB in a unary message were taken")
    except grpc.RpcError as error:
        expect(error.code(), Code.OUT_OF_RANGE, "the status of a message that is too large")
    expect(jobs.figures("put"), (1,), "items put")


if __name__ == "__main__":
    address, secret, _ = wire.arguments()
    broker = wire.Broker(address, secret)
    put_get_done_join(broker)
    options_of_items(broker)
    a_put_waits_for_room(broker)
    returning_and_parking(broker)
    pages_of_parked_items(broker)
    buffering(address, secret, broker)
    a_lease_goes_back_when_the_connection_closes(address, secret, broker)
    a_cancelled_get_swallows_nothing(broker)
    closing(broker)
    names(broker)
    an_ephemeral_object_goes_with_its_opener(address, secret, broker)
    keys_and_conditions(broker)
    integers(broker)
    scans(broker)
    lifetimes(address, secret, broker)
    watching(broker)
    large_things(broker)
    broker.close()
