"""An object of one's own in Python, and calls of objects that others serve, with grpcio, and of bursar with its .proto files
alone. Values are written as JSON, and read as JSON or MessagePack, which Rust's SDK writes.

    pip install grpcio grpcio-tools msgpack
    cd proto && python -m grpc_tools.protoc -I. --python_out=../stubs --grpc_python_out=../stubs bursar/v1/*.proto && cd ..

With the `export` line of a running `bursar serve` pasted into each terminal:

    PYTHONPATH=stubs python examples/shelf.py serve              # serves `shelf` until ctrl-c
    bursar call shelf reserve sku=apple n=2                      # from the shell
    PYTHONPATH=stubs python examples/shelf.py call sum add by=5  # calls what `--bin counter` serves
"""

import hashlib
import hmac
import inspect
import json
import os
import struct
import sys

import grpc
import msgpack

from bursar.v1 import auth_pb2, auth_pb2_grpc, common_pb2, object_pb2 as pb, object_pb2_grpc, registry_pb2, registry_pb2_grpc

MESSAGEPACK, JSON, FOR_EVER = 1, 2, -1
TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", list: "array", dict: "object"}


class OutOfStock(Exception):
    """An error of the object's own: callers see its name, its text and its value."""

    def __init__(self, left):
        super().__init__(f"only {left} left")
        self.value = {"left": left}


class Shelf:
    """What is on the shelf."""

    def __init__(self):
        self.stock = {"apple": 7, "pear": 5}

    def reserve(self, sku: str, n: int = 1) -> dict:
        """Takes some away, all or nothing."""
        left = self.stock.get(sku, 0) - n
        if left < 0:
            raise OutOfStock(left + n)
        self.stock[sku] = left
        return {"sku": sku, "left": left}

    def levels(self):
        """How much there is of everything, one at a time."""
        yield from self.stock.items()


# What follows is the same for every object.


def connect(address, key_file):
    """A channel, and the metadata of every call: that the authkey is known was proved, and that the broker knows it, too."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "localhost")]
    channel = grpc.insecure_channel(address.replace("unix://", "unix:").removeprefix("tcp://"), options=options)
    mac = lambda key, data: hmac.digest(key, data, "sha256")
    auth, nonce = auth_pb2_grpc.AuthStub(channel), os.urandom(32)
    hello = auth.Hello(auth_pb2.HelloRequest(version=1, key_id="default", client_nonce=nonce, binding="none"))
    parts = [b"bursar-auth-v1", struct.pack(">I", 1), b"default", nonce, hello.server_nonce, hello.handshake_id]
    parts += [hello.server_id, struct.pack(">Q", hello.boot_epoch), b"none", b""]
    transcript = hashlib.sha256(b"".join(struct.pack(">I", len(part)) + part for part in parts)).digest()
    with open(key_file, "rb") as file:
        root = mac(b"bursar-auth-v1", file.read())
    derive = lambda info: mac(root, info + b"\x01")
    proof = mac(derive(b"client-proof"), transcript)
    proved = auth.Prove(auth_pb2.ProveRequest(handshake_id=hello.handshake_id, client_proof=proof))
    if not hmac.compare_digest(proved.server_proof, mac(derive(b"server-proof"), transcript + proof)):
        sys.exit("this broker does not have the key")
    return channel, [("bursar-session-bin", hello.handshake_id + derive(b"session-token" + transcript))]


class Object:
    """The verbs of one object, which is created if it is not there."""

    def __init__(self, name):
        channel, credential = connect(os.environ["BURSAR_ADDRESS"], os.environ["BURSAR_AUTHKEY_FILE"])
        self.stub, self.credential, self.name = object_pb2_grpc.ObjectStub(channel), credential, common_pb2.ObjectRef(name=name)
        kind = registry_pb2.Options(object=pb.Options())
        registry_pb2_grpc.RegistryStub(channel).Open(registry_pb2.OpenRequest(name=name, options=kind), metadata=credential)

    def __getattr__(self, verb):
        request = getattr(pb, f"{verb}Request")
        return lambda **fields: getattr(self.stub, verb)(request(object=self.name, **fields), metadata=self.credential)

    def call(self, method, **arguments):
        """The result, or the items, of a method."""
        arguments = [pb.Argument(name=name, value=written(value)) for name, value in arguments.items()]
        reply = self.Invoke(method=method, arguments=arguments, wait_ms=FOR_EVER, wait_for_provider=True)
        match reply.WhichOneof("outcome"):
            case "result":
                return read(reply.result)
            case "failure":
                raise RuntimeError(f"{reply.failure.type}: {reply.failure.message}")
            case "stream":
                return self.items(reply.stream)

    def items(self, call):
        while True:
            reply = self.Next(call=call, max=256, wait_ms=FOR_EVER)
            yield from map(read, reply.items)
            match reply.WhichOneof("end"):
                case "ended":
                    return
                case "failure":
                    raise RuntimeError(f"{reply.failure.type}: {reply.failure.message}")

    def serve(self, target):
        """Carries out one call at a time, for ever. What is done goes along with the asking for more."""
        provider = self.Provide(description=described(target), capacity=1).provider
        outcomes = []
        while True:
            taken = self.Take(provider=provider, wait_ms=FOR_EVER, outcomes=outcomes)
            outcomes = [self.carry_out(target, provider, given) for given in taken.calls]

    def carry_out(self, target, provider, given):
        try:
            arguments = {argument.name: read(argument.value) for argument in given.arguments}
            result = getattr(target, given.method)(**arguments)
            if not given.stream:
                return pb.Outcome(call=given.call, result=written(result))
            for item in result:
                self.Yield(provider=provider, call=given.call, wait_ms=FOR_EVER, items=[written(item)])
            return pb.Outcome(call=given.call, ended=pb.Ended())
        except Exception as error:
            failure = pb.Failure(type=type(error).__name__, message=str(error))
            if hasattr(error, "value"):
                failure.value.CopyFrom(written(error.value))
            return pb.Outcome(call=given.call, failure=failure)


def described(target):
    """What can be called: the public methods, with their types, defaults and docs."""
    methods = [method for name, method in inspect.getmembers(target, inspect.ismethod) if not name.startswith("_")]
    return pb.Description(doc=inspect.getdoc(target) or "", methods=map(described_method, methods))


def described_method(method):
    signature = inspect.signature(method)
    return pb.Method(
        name=method.__name__,
        doc=inspect.getdoc(method) or "",
        parameters=map(described_parameter, signature.parameters.values()),
        result=TYPES.get(signature.return_annotation, "any"),
        stream=inspect.isgeneratorfunction(method),
    )


def described_parameter(parameter):
    has_default = parameter.default is not inspect.Parameter.empty
    default = json.dumps(parameter.default) if has_default else ""
    return pb.Parameter(name=parameter.name, type=TYPES.get(parameter.annotation, "any"), optional=has_default, default=default)


def written(value):
    return common_pb2.Value(data=json.dumps(value).encode(), codec=JSON)


def read(value):
    return msgpack.unpackb(value.data) if value.codec == MESSAGEPACK else json.loads(value.data)


def main(arguments):
    match arguments:
        case ["serve"]:
            print("serving shelf", flush=True)
            Object("shelf").serve(Shelf())
        case ["call", name, method, *given]:
            pairs = (argument.partition("=") for argument in given)
            result = Object(name).call(method, **{name: json.loads(value) for name, _, value in pairs})
            for line in result if inspect.isgenerator(result) else [result]:
                print(json.dumps(line), flush=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        pass
