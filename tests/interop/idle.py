"""A connection without calls keeps what it holds, longer than a session may be silent. ADDRESS KEY_FILE; the ttl is 500 ms."""

import wire
from bursar.v1 import queue_pb2
from stream import Stream, put_call, queue_call, stats
from wire import expect

if __name__ == "__main__":
    address, secret, _ = wire.arguments()
    watcher, idle = wire.Broker(address, secret), wire.Broker(address, secret)
    held = watcher.new_queue()
    watcher.queue.Put(queue_pb2.PutRequest(object=held, items=[queue_pb2.Item(data=b"held")]))
    lease = idle.queue.Get(queue_pb2.GetRequest(object=held)).items[0].lease

    # Silent from here on, while two sessions of streams fall silent and end, one after the other: longer than a ttl.
    for _ in range(2):
        lost, marker = wire.Broker(address, secret), watcher.new_queue()
        stream = Stream(lost)
        expect(stream.opened.ttl_ms, 500, "the ttl of the broker")
        stream.answer(1, put_call(marker, b"x"))
        stream.answer(2, queue_call(marker, "get"))
        lost.close()
        watcher.queue.Get(queue_pb2.GetRequest(object=marker, wait_ms=-1))

    idle.queue.Done(queue_pb2.DoneRequest(object=held, leases=[lease]))
    expect((stats(watcher, held).done, stats(watcher, held).crashes), (1, 0), "the item of a connection that was only idle")
