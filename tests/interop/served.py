"""A stranger serves an object of its own, and another one calls it, with one rpc per verb. ADDRESS KEY_FILE"""

import threading

import grpc

import wire
from bursar.v1 import common_pb2, object_pb2 as pb, object_pb2_grpc, registry_pb2
from wire import expect, expect_that, refused

Code = grpc.StatusCode
FOR_EVER = -1


def value(data):
    return common_pb2.Value(data=data)


class Party:
    """A connection, and the verbs of one object with the object filled in."""

    def __init__(self, address, secret, object=None):
        self.broker = wire.Broker(address, secret)
        self.stub = self.broker._service(object_pb2_grpc.ObjectStub)
        self.object = object or self.broker._new(registry_pb2.Options(object=pb.Options()))

    def __getattr__(self, verb):
        request = getattr(pb, f"{verb}Request")
        return lambda **fields: getattr(self.stub, verb)(request(object=self.object, **fields))

    def future(self, verb, **fields):
        return getattr(self.stub, verb).future(getattr(pb, f"{verb}Request")(object=self.object, **fields))

    def call(self, method, **arguments):
        arguments = [pb.Argument(name=name, value=value(data)) for name, data in arguments.items()]
        return self.future("Invoke", wait_ms=FOR_EVER, method=method, arguments=arguments)

    def close(self):
        self.broker.close()


DESCRIPTION = pb.Description(
    doc="A shelf.",
    methods=[
        pb.Method(name="reserve", parameters=[pb.Parameter(name="sku", type="string")], result="integer", error="OutOfStock"),
        pb.Method(name="levels", result="integer", stream=True),
    ],
)


class Shelf:
    """Serves until its connection is closed."""

    def __init__(self, address, secret, object):
        self.party, self.stock = Party(address, secret, object), {"pen": 2}
        self.cancelled = threading.Semaphore(0)
        self.provider = self.party.Provide(description=DESCRIPTION, capacity=8).provider
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            while True:
                taken = self.party.Take(provider=self.provider, wait_ms=FOR_EVER, max=8)
                for given in taken.calls:
                    self.carry_out(given)
                for call in taken.cancelled:
                    self.give(call, failure=pb.Failure(type="Stopped"))
                    self.cancelled.release()
        except (grpc.RpcError, ValueError):
            pass  # the connection is closed

    def carry_out(self, given):
        arguments = {argument.name: argument.value.data.decode() for argument in given.arguments}
        if given.method == "levels":
            items = [value(str(count).encode()) for count in self.stock.values()]
            self.party.Yield(provider=self.provider, call=given.call, wait_ms=FOR_EVER, items=items)
            return self.give(given.call, ended=pb.Ended())
        if arguments["sku"] == "nothing":
            return  # never answered
        left = self.stock.get(arguments["sku"], 0)
        if left == 0:
            return self.give(given.call, failure=pb.Failure(type="OutOfStock", message="none left", value=value(b"0")))
        self.stock[arguments["sku"]] = left - 1
        self.give(given.call, result=value(str(left - 1).encode()))

    def give(self, call, **outcome):
        self.party.Give(provider=self.provider, outcomes=[pb.Outcome(call=call, **outcome)])

    def close(self):
        self.party.close()
        self.thread.join()


def results_errors_and_items(caller):
    expect(caller.call("reserve", sku=b"pen").result().result.data, b"1", "the result of a call")
    calls = [caller.call("reserve", sku=b"pen"), caller.call("reserve", sku=b"cup")]
    expect(calls[0].result().result.data, b"0", "the result of another")
    failure = calls[1].result().failure
    expect((failure.type, failure.message, failure.value.data), ("OutOfStock", "none left", b"0"), "an error of the method")
    stream = caller.call("levels").result().stream
    expect([item.data for item in caller.Next(call=stream, wait_ms=FOR_EVER, max=9).items], [b"0"], "the items of a stream")


def refusals(caller):
    invoke = lambda method, **fields: caller.Invoke(method=method, wait_ms=FOR_EVER, **fields)
    fault = refused(Code.UNIMPLEMENTED, "NoSuchMethod", lambda: invoke("reserv"))
    expect(dict(fault.fields), {"method": "reserv", "nearest": "reserve"}, "fields of NoSuchMethod")
    fault = refused(Code.INVALID_ARGUMENT, "MissingArgument", lambda: invoke("reserve"))
    expect(fault.fields["argument"], "sku", "fields of MissingArgument")
    described = caller.Describe()
    expect((described.providers, described.capacity), (1, 8), "who serves")
    expect([method.name for method in described.description.methods], ["levels", "reserve"], "what it serves")


def whoever_goes(shelf, caller):
    wire.eventually(lambda: caller.Describe().running == 0, "the provider has nothing: its stream has ended, too")
    cancelled = caller.call("reserve", sku=b"nothing")
    wire.eventually(lambda: caller.Describe().running == 1, "the provider has the call")
    cancelled.cancel()
    expect_that(shelf.cancelled.acquire(timeout=wire.PATIENCE), "the provider is told of a call that was cancelled")
    lost = caller.call("reserve", sku=b"nothing")
    wire.eventually(lambda: caller.Describe().running == 1, "the provider has the call")
    shelf.close()
    refused(Code.ABORTED, "ProviderGone", lost.result)
    refused(Code.UNAVAILABLE, "NoProvider", lambda: caller.call("levels").result())


if __name__ == "__main__":
    address, secret, _ = wire.arguments()
    caller = Party(address, secret)
    shelf = Shelf(address, secret, caller.object)
    results_errors_and_items(caller)
    refusals(caller)
    whoever_goes(shelf, caller)
    caller.close()
