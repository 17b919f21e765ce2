"""The session stream: pipelining, waiting, cancelling, retries, resuming, large items, ends. ADDRESS KEY_FILE"""

import queue
import threading
from concurrent.futures import Future

import grpc

import wire
from bursar.v1 import common_pb2, kv_pb2, queue_pb2, registry_pb2, session_pb2
from wire import expect, expect_that, eventually, refused

Code = grpc.StatusCode
ClientEntry, ClientFrame, Item = session_pb2.ClientEntry, session_pb2.ClientFrame, queue_pb2.Item
PART_BYTES = 256 << 10


class Stream:
    """One stream: everything that is sent is explicit, and everything that comes is kept."""

    def __init__(self, broker, **open_fields):
        self.outbox, self.answers, self.entries = queue.SimpleQueue(), {}, queue.SimpleQueue()
        self.ended, self.lock, self.parts, self.in_parts = Future(), threading.Lock(), {}, set()
        self.send([ClientEntry(open=session_pb2.Open(label="interop", **open_fields))])
        self.call = broker.sessions.Session(iter(self.outbox.get, None), metadata=broker.credential)
        self.opened = next(self.call).entries[0].opened
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def send(self, entries, heard=()):
        self.outbox.put(ClientFrame(entries=entries, heard=heard))

    def ask(self, *calls):
        """Sends several (sequence, call) in one frame; gives the futures of their answers."""
        with self.lock:
            futures = [self.answers.setdefault(sequence, Future()) for sequence, _ in calls]
        self.send([ClientEntry(sequence=sequence, call=call) for sequence, call in calls])
        return futures

    def answer(self, sequence, call):
        return self.ask((sequence, call))[0].result(wire.PATIENCE)

    def again(self, sequence, call):
        """Sends a call once more and gives its next answer."""
        with self.lock:
            self.answers.pop(sequence, None)
        return self.answer(sequence, call)

    def _read(self):
        goodbye = None
        try:
            for frame in self.call:
                expect_that(goodbye is None, "nothing follows Ended")
                for entry in frame.entries:
                    self._entry(entry)
                    goodbye = entry.ended if entry.HasField("ended") else goodbye
            self.ended.set_result(goodbye)
        except (grpc.RpcError, SystemExit) as error:
            self.ended.set_exception(error)

    def _entry(self, entry):
        kind = entry.WhichOneof("entry")
        if kind == "answer":
            with self.lock:
                future = self.answers.setdefault(entry.sequence, Future())
            if not future.done():
                future.set_result(entry.answer)
        elif kind == "part":
            part = entry.part
            data = self.parts.pop(part.id, b"") + part.data
            if len(data) < part.total:
                self.parts[part.id] = data
            else:
                whole = session_pb2.ServerEntry.FromString(data)
                self.in_parts.add(whole.sequence)
                self._entry(whole)
        elif kind != "ended":
            self.entries.put(entry)

    def half_close(self):
        self.outbox.put(None)

    def cut(self):
        self.call.cancel()
        self.half_close()
        self.reader.join(wire.PATIENCE)


def queue_call(object, verb, **fields):
    name = {"return": "Return"}.get(verb, verb.capitalize())
    request = getattr(queue_pb2, f"{name}Request")(object=object, **fields)
    return session_pb2.Call(queue=queue_pb2.Command(**{verb: request}))


def put_call(object, *payloads):
    return queue_call(object, "put", items=[Item(data=payload) for payload in payloads])


def kv_call(object, verb, **fields):
    name = "".join(word.capitalize() for word in verb.split("_"))
    return session_pb2.Call(kv=kv_pb2.Command(**{verb: getattr(kv_pb2, f"{name}Request")(object=object, **fields)}))


def leased(answer):
    expect_that(answer.WhichOneof("reply") == "queue", f"a reply of a queue: {answer}")
    return [(item.lease, item.data) for item in answer.queue.get.items]


def fault(answer):
    expect(answer.WhichOneof("reply"), "fault", "a refusal")
    return answer.fault.name


def stats(broker, object):
    return broker.queue.Stats(queue_pb2.StatsRequest(object=object))


def waiting(broker, object):
    return broker.registry.Describe(registry_pb2.DescribeRequest(object=object)).object.waiting


def opening(broker):
    stream = Stream(broker)
    opened = stream.opened
    expect((opened.epoch, opened.resumed, opened.ttl_ms, len(opened.token)), (1, False, 10_000, 16), "Opened")
    expect_that(0 < opened.session_id < 2**53, "a session id that every language can hold")
    limits = opened.limits
    actual = (limits.frame_bytes_max, limits.entries_max, limits.payload_bytes_max, limits.calls_in_flight_max)
    expect(actual, (256 << 10, 512, 128 << 20, 65_536), "the limits")
    sessions = broker.registry.Status(registry_pb2.StatusRequest()).sessions
    shown = [session.label for session in sessions if session.id == opened.session_id]
    expect(shown, ["interop"], "the label for operators")
    stream.cut()
    refused(Code.INVALID_ARGUMENT, "BadArgument", lambda: Stream(broker, ttl_ms=1))
    refused(Code.NOT_FOUND, "NoSuchSession", lambda: Stream(broker, session_id=1, token=bytes(16), epoch=1))
    wrong = dict(session_id=opened.session_id, token=bytes(16), epoch=1)
    refused(Code.NOT_FOUND, "NoSuchSession", lambda: Stream(broker, **wrong))

    def first_is_no_open():
        entry = ClientEntry(sequence=1, call=session_pb2.Call())
        return list(broker.sessions.Session(iter([ClientFrame(entries=[entry])]), metadata=broker.credential))

    refused(Code.INVALID_ARGUMENT, "Protocol", first_is_no_open)


def pipelined_calls(broker):
    """A thousand calls in a few frames; one object sees them in the order in which they were sent."""
    stream, jobs = Stream(broker), broker.new_queue()
    puts = [(number, put_call(jobs, str(number).encode())) for number in range(1, 501)]
    gets = [(500 + number, queue_call(jobs, "get")) for number in range(1, 501)]
    futures = stream.ask(*puts) + stream.ask(*gets)
    answers = [future.result(wire.PATIENCE) for future in futures]
    expect([list(answer.queue.put.ids) for answer in answers[:500]], [[number] for number in range(1, 501)], "ids in order")
    items = [leased(answer)[0] for answer in answers[500:]]
    expect([data for _, data in items], [str(number).encode() for number in range(1, 501)], "items in order")
    stream.send([], heard=[session_pb2.Range(first=1, count=1000)])
    done = stream.answer(1001, queue_call(jobs, "done", leases=[lease for lease, _ in items]))
    expect(list(done.queue.done.not_held), [], "leases that were not held")
    expect(stream.answer(1002, queue_call(jobs, "join")).WhichOneof("reply"), "queue", "join")
    # What was heard is forgotten, and what is forgotten is not executed again.
    expect(fault(stream.again(1, puts[0][1])), "AnswerForgotten", "a retry of what was heard")
    expect(stats(broker, jobs).put, 500, "items put")
    unknown = stream.answer(1003, session_pb2.Call())
    expect((fault(unknown), unknown.fault.number), ("UnknownVerb", 8), "a call that says nothing")
    nameless = stream.answer(1004, queue_call(None, "get"))
    expect((fault(nameless), nameless.fault.fields["argument"]), ("BadArgument", "object"), "a call without an object")
    stream.cut()


def one_stream_carries_all_kinds(broker):
    stream, kv, name = Stream(broker), broker.new_kv(), wire.new_name()
    value = common_pb2.Value(data=b"x", codec=1)
    expect(stream.answer(1, kv_call(kv, "put", key="k", value=value)).kv.put.revision, 1, "a put")
    watch = stream.ask((2, kv_call(kv, "next", after=1, wait_ms=-1)))[0]
    added = stream.answer(3, kv_call(kv, "set_default", key="l", value=value))
    expect(added.kv.set_default.created, True, "a key that was absent")
    expect([event.key for event in watch.result(wire.PATIENCE).kv.next.events], ["l"], "what Next waited for")
    options = registry_pb2.Options(queue=queue_pb2.Options())
    open_ = registry_pb2.Command(open=registry_pb2.OpenRequest(name=name, options=options, ephemeral=True))
    expect(stream.answer(4, session_pb2.Call(registry=open_)).registry.open.created, True, "an ephemeral queue")
    stream.send([ClientEntry(beat=session_pb2.Beat(number=7))])
    expect(stream.entries.get(timeout=wire.PATIENCE).beat.number, 7, "the beat comes back")
    stream.send([ClientEntry(close=session_pb2.Close())])
    expect(stream.ended.result(wire.PATIENCE).number, 40, "Ended after Close")
    listed = broker.registry.List(registry_pb2.ListRequest(prefix=name)).objects
    expect(len(listed), 0, "an ephemeral object goes with its session")


def a_blocked_get_is_answered_by_a_later_put(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    gets = stream.ask(*[(number, queue_call(jobs, "get", wait_ms=-1)) for number in range(1, 4)])
    eventually(lambda: waiting(broker, jobs) == 3, "three gets stand in line")
    stream.answer(4, put_call(jobs, b"a", b"b", b"c"))
    expect([leased(get.result(wire.PATIENCE))[0][1] for get in gets], [b"a", b"b", b"c"], "who came first is served first")
    expect(fault(stream.answer(5, queue_call(jobs, "get", wait_ms=1))), "Empty", "the wait is over")
    stream.cut()


def cancelling(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    get = stream.ask((1, queue_call(jobs, "get", wait_ms=-1)))[0]
    stream.send([ClientEntry(cancel=session_pb2.Cancel(sequence=1))])
    expect(fault(get.result(wire.PATIENCE)), "Cancelled", "a get that was taken back")
    stream.answer(2, put_call(jobs, b"x"))
    crossed = stream.answer(3, queue_call(jobs, "get"))
    lease, data = leased(crossed)[0]
    stream.send([ClientEntry(cancel=session_pb2.Cancel(sequence=3))])
    expect(fault(stream.answer(4, queue_call(jobs, "done", leases=[lease]))), "NotHeld", "the lease of an answer that crossed")
    taken = stats(broker, jobs)
    expect((data, taken.ready, taken.taken_back, taken.crashes), (b"x", 1, 1, 0), "the item is back, and nobody failed")
    stream.cut()


def a_retry_gets_the_identical_answer(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    put, get = put_call(jobs, b"one", b"two"), queue_call(jobs, "get")
    for sequence, call in [(1, put), (2, get)]:
        first = stream.answer(sequence, call)
        expect(stream.again(sequence, call), first, "the answer to a repeated call")
    kept = stats(broker, jobs)
    expect((kept.put, kept.leased), (2, 1), "one effect")
    # A sequence that is repeated while it waits still waits, and is answered once.
    stream.answer(3, get)
    waits = queue_call(jobs, "get", wait_ms=-1)
    answers = stream.ask((4, waits), (4, waits))
    eventually(lambda: waiting(broker, jobs) == 1, "one get stands in line")
    stream.answer(5, put_call(jobs, b"three"))
    expect(leased(answers[0].result(wire.PATIENCE))[0][1], b"three", "the item")
    expect(stats(broker, jobs).leased, 3, "leases")
    expect(fault(stream.answer(0, get)), "Protocol", "a call without a sequence")
    stream.cut()


def resuming(address, secret, broker):
    jobs = broker.new_queue()
    first_link = wire.Broker(address, secret)
    first = Stream(first_link)
    opened = first.opened
    first.answer(1, put_call(jobs, b"one", b"two"))
    got = first.answer(2, queue_call(jobs, "get"))
    lease, _ = leased(got)[0]
    first.ask((3, queue_call(jobs, "join", wait_ms=-1)))
    eventually(lambda: waiting(broker, jobs) == 1, "the join stands in line")
    first_link.close()  # the connection is lost: the session is not

    second_link = wire.Broker(address, secret)
    back = dict(session_id=opened.session_id, token=opened.token, epoch=opened.epoch)
    # The answer to 1 was heard, those to 2 and 3 were not.
    second = Stream(second_link, unheard=[session_pb2.Range(first=2, count=2)], **back)
    expect((second.opened.resumed, second.opened.epoch), (True, 2), "Opened")
    expect((second.opened.session_id, second.opened.token), (opened.session_id, opened.token), "the same session")
    expect(second.answer(2, queue_call(jobs, "get")), got, "the identical answer on another connection")
    expect(fault(second.answer(1, put_call(jobs, b"one", b"two"))), "AnswerForgotten", "what was not asked for")
    expect(stats(broker, jobs).put, 2, "items put")
    joined = second.ask((3, queue_call(jobs, "join", wait_ms=-1)))[0]
    rest = leased(second.answer(4, queue_call(jobs, "get")))
    second.answer(5, queue_call(jobs, "done", leases=[lease, rest[0][0]]))
    expect(joined.result(wire.PATIENCE).WhichOneof("reply"), "queue", "the join went on where it stood")

    third = Stream(broker, **(back | dict(epoch=2)))
    expect(third.opened.epoch, 3, "the next epoch")
    superseded = second.ended.result(wire.PATIENCE)
    expect((superseded.name, superseded.fields["epoch"]), ("Superseded", "3"), "the stream that was pushed out")
    refused(Code.ABORTED, "Superseded", lambda: Stream(second_link, **(back | dict(epoch=2))))
    third.send([ClientEntry(close=session_pb2.Close())])
    expect(third.ended.result(wire.PATIENCE).name, "SessionEnded", "Ended after Close")
    refused(Code.NOT_FOUND, "NoSuchSession", lambda: Stream(broker, **(back | dict(epoch=3))))
    second_link.close()


def a_silent_session_ends(address, secret, broker):
    """The connection is lost and nobody comes back: what the session held goes to others."""
    jobs, link = broker.new_queue(), wire.Broker(address, secret)
    stream = Stream(link, ttl_ms=500)
    expect(stream.opened.ttl_ms, 500, "the ttl that was asked for")
    stream.answer(1, put_call(jobs, b"x"))
    stream.answer(2, queue_call(jobs, "get"))
    link.close()
    item = broker.queue.Get(queue_pb2.GetRequest(object=jobs, wait_ms=-1)).items[0]
    expect((item.data, item.attempt, item.crashes), (b"x", 2, 1), "the item of a session that ended")


def closing_gives_back(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    stream.answer(1, put_call(jobs, b"one", b"two"))
    stream.answer(2, queue_call(jobs, "get", max=2))
    stream.send([ClientEntry(close=session_pb2.Close())])
    stream.ended.result(wire.PATIENCE)
    given_back = stats(broker, jobs)
    expect((given_back.ready, given_back.leased), (2, 0), "what was held is back when Ended comes")


def half_closing_only_suspends(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    stream.answer(1, put_call(jobs, b"x"))
    stream.answer(2, queue_call(jobs, "get"))
    stream.half_close()
    expect(stream.ended.result(wire.PATIENCE), None, "the stream ends without a word")
    expect(stats(broker, jobs).leased, 1, "leases of a suspended session")
    opened = stream.opened
    again = Stream(broker, session_id=opened.session_id, token=opened.token, epoch=opened.epoch)
    expect(again.opened.resumed, True, "resumed")
    again.cut()


def large_items_travel_in_parts(broker):
    stream, jobs, large = Stream(broker), broker.new_queue(), bytes(range(256)) * (1 << 12)
    entry = ClientEntry(sequence=1, call=put_call(jobs, large)).SerializeToString()
    pieces = [entry[at : at + PART_BYTES] for at in range(0, len(entry), PART_BYTES)]
    expect(len(pieces), 5, "parts of 1 MiB and its frame")
    future = stream.answers.setdefault(1, Future())
    for number, piece in enumerate(pieces):
        part = session_pb2.Part(id=1, total=len(entry), data=piece)
        # Others may stand between the parts.
        small = ClientEntry(sequence=0, beat=session_pb2.Beat(number=number))
        stream.send([ClientEntry(part=part), small])
    expect(list(future.result(wire.PATIENCE).queue.put.ids), [1], "a put in parts")
    item = leased(stream.answer(2, queue_call(jobs, "get")))[0]
    expect((item[1] == large, stream.in_parts), (True, {2}), "the item came back in parts")
    stream.send([ClientEntry(part=session_pb2.Part(id=2, total=512 << 20, data=b"x"))])
    expect(stream.ended.result(wire.PATIENCE).name, "Protocol", "more than the budget")


def in_parts(stream, sequence, call):
    """Sends a call in parts and gives its answer."""
    entry = ClientEntry(sequence=sequence, call=call).SerializeToString()
    future = stream.answers.setdefault(sequence, Future())
    for at in range(0, len(entry), PART_BYTES):
        part = session_pb2.Part(id=sequence, total=len(entry), data=entry[at : at + PART_BYTES])
        stream.send([ClientEntry(part=part)])
    return future.result(wire.PATIENCE)


def an_item_too_large_for_a_unary_message_stays(broker):
    """It was once leased to a caller who never saw it, and parked when three such callers had hung up."""
    stream, jobs = Stream(broker), broker.new_queue()
    in_parts(stream, 1, put_call(jobs, bytes(5 << 20)))
    get = queue_pb2.GetRequest(object=jobs)
    too_large = refused(Code.INVALID_ARGUMENT, "TooLarge", lambda: broker.queue.Get(get))
    expect(too_large.fields["limit"], str(4 << 20), "the limit of a unary message")
    refused(Code.INVALID_ARGUMENT, "TooLarge", lambda: broker.queue.Peek(queue_pb2.PeekRequest(object=jobs)))
    kept = stats(broker, jobs)
    expect((kept.ready, kept.leased, kept.taken_back), (1, 0, 1), "the item is where it was")
    expect(len(leased(stream.answer(2, queue_call(jobs, "get")))[0][1]), 5 << 20, "the stream carries it")
    stream.cut()


def an_item_above_the_limit_is_refused(broker):
    stream, jobs = Stream(broker), broker.new_queue()
    refusal = in_parts(stream, 1, put_call(jobs, bytes((128 << 20) + 1)))
    expect((fault(refusal), refusal.fault.fields["limit"]), ("TooLarge", str(128 << 20)), "an item that is too large")
    expect(fault(stream.answer(2, queue_call(jobs, "get"))), "Empty", "the stream lives on")
    stream.cut()


def a_broken_protocol_ends_the_stream_only(broker):
    for what, entry in [
        ("Open twice", ClientEntry(open=session_pb2.Open())),
        ("an entry that says nothing", ClientEntry(sequence=5)),
    ]:
        stream = Stream(broker)
        stream.send([entry])
        expect_that(stream.ended.result(wire.PATIENCE).name in ("Protocol", "UnknownVerb"), what)
        opened = stream.opened
        again = Stream(broker, session_id=opened.session_id, token=opened.token, epoch=opened.epoch)
        expect(again.opened.resumed, True, "the session can be resumed")
        again.cut()


if __name__ == "__main__":
    address, secret, _ = wire.arguments()
    broker = wire.Broker(address, secret)
    opening(broker)
    pipelined_calls(broker)
    one_stream_carries_all_kinds(broker)
    a_blocked_get_is_answered_by_a_later_put(broker)
    cancelling(broker)
    a_retry_gets_the_identical_answer(broker)
    resuming(address, secret, broker)
    a_silent_session_ends(address, secret, broker)
    closing_gives_back(broker)
    half_closing_only_suspends(broker)
    large_items_travel_in_parts(broker)
    an_item_too_large_for_a_unary_message_stays(broker)
    an_item_above_the_limit_is_refused(broker)
    a_broken_protocol_ends_the_stream_only(broker)
    broker.close()
