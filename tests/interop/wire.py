"""What every script here needs: the handshake with the standard library's hmac, calls with the credential, faults, expectations.

It is not a client library: it knows no reconnecting and no retries. It was written from docs/protocol.md.
"""

import faulthandler
import hashlib
import hmac
import os
import struct
import sys
import time

import grpc

from bursar.v1 import auth_pb2, auth_pb2_grpc, common_pb2, kv_pb2, kv_pb2_grpc, queue_pb2, queue_pb2_grpc
from bursar.v1 import registry_pb2, registry_pb2_grpc, session_pb2_grpc

LABEL = b"bursar-auth-v1"
# Long enough for a loaded machine: who runs into it has failed.
PATIENCE = 60


def expect(actual, expected, what):
    """Ends the script with a message unless the two are equal."""
    if actual != expected:
        sys.exit(f"BROKEN: {what}\n  expected {expected!r}\n  got      {actual!r}")


def expect_that(holds, what):
    """Ends the script with a message unless it holds."""
    if not holds:
        sys.exit(f"BROKEN: {what}")


def eventually(holds, what):
    """Asks again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        expect_that(time.monotonic() < deadline, f"never became so: {what}")
        time.sleep(0.005)


# The handshake.


def hkdf_extract(salt, secret):
    return hmac.digest(salt, secret, "sha256")


def hkdf_expand(prk, info):
    """The first 32 bytes, which are one block."""
    return hmac.digest(prk, info + b"\x01", "sha256")


def transcript(key_id, client_nonce, server_nonce, handshake_id, server_id, boot_epoch, binding="none", binding_data=b""):
    parts = [
        LABEL, struct.pack(">I", 1), key_id.encode(), client_nonce, server_nonce, handshake_id, server_id,
        struct.pack(">Q", boot_epoch), binding.encode(), binding_data,
    ]
    return hashlib.sha256(b"".join(struct.pack(">I", len(part)) + part for part in parts)).digest()


class Key:
    """What is derived from an authkey."""

    def __init__(self, secret):
        self.prk = hkdf_extract(LABEL, secret)

    def client_proof(self, transcript_hash):
        return hmac.digest(hkdf_expand(self.prk, b"client-proof"), transcript_hash, "sha256")

    def server_proof(self, transcript_hash, client_proof):
        return hmac.digest(hkdf_expand(self.prk, b"server-proof"), transcript_hash + client_proof, "sha256")

    def token(self, transcript_hash):
        return hkdf_expand(self.prk, b"session-token" + transcript_hash)


def open_channel(address):
    """A connection of its own: without the first option, channels to one address would share a connection. Without the last, gRPC
    names a Unix socket by its path in `:authority`, which is no authority and is refused by HTTP/2 servers that look."""
    target = "unix:" + address.removeprefix("unix://") if address.startswith("unix://") else address.removeprefix("tcp://")
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 4 << 20),
        ("grpc.enable_retries", 0),
        ("grpc.default_authority", "localhost"),
    ]
    return grpc.insecure_channel(target, options=options)


def handshake(channel, secret, key_id="default", binding="none"):
    """Proves the key, verifies the broker's proof, and gives the metadata of every later call."""
    auth, key, nonce = auth_pb2_grpc.AuthStub(channel), Key(secret), os.urandom(32)
    hello = auth.Hello(
        auth_pb2.HelloRequest(version=1, key_id=key_id, client_nonce=nonce, binding=binding), timeout=PATIENCE
    )
    expect((len(hello.handshake_id), len(hello.server_nonce), len(hello.server_id)), (16, 32, 16), "lengths in HelloReply")
    th = transcript(
        key_id, nonce, hello.server_nonce, hello.handshake_id, hello.server_id, hello.boot_epoch, binding
    )
    client_proof = key.client_proof(th)
    proved = auth.Prove(
        auth_pb2.ProveRequest(handshake_id=hello.handshake_id, client_proof=client_proof), timeout=PATIENCE
    )
    genuine = hmac.compare_digest(proved.server_proof, key.server_proof(th, client_proof))
    expect_that(genuine, "the broker's proof")
    expect(proved.expires_in_ms, 3_600_000, "the life of a credential")
    return (("bursar-session-bin", hello.handshake_id + key.token(th)),)


# Faults.


def trailers(error):
    return dict(error.trailing_metadata() or ())


def fault_of(error):
    """The fault in an error's details; it agrees with the trailer."""
    details = trailers(error).get("grpc-status-details-bin")
    if details is None:
        return None
    fault = common_pb2.Fault.FromString(details)
    expect(trailers(error).get("bursar-fault"), str(fault.number), "the trailer bursar-fault")
    expect(error.details(), fault.message, "the status message")
    return fault


def refused(code, name, call):
    """The call is refused with this status and this fault; gives the fault."""
    try:
        reply = call()
    except grpc.RpcError as error:
        fault = fault_of(error)
        expect((error.code(), fault and fault.name), (code, name), f"the refusal ({error.details()})")
        return fault
    sys.exit(f"BROKEN: expected {name}, got {reply!r}")


class Broker:
    """One connection with a proved key; one stub for each service."""

    def __init__(self, address, secret, **options):
        self.channel = open_channel(address)
        self.credential = handshake(self.channel, secret, **options)
        self.registry = self._service(registry_pb2_grpc.RegistryStub)
        self.queue = self._service(queue_pb2_grpc.QueueStub)
        self.kv = self._service(kv_pb2_grpc.KvStub)
        self.sessions = session_pb2_grpc.SessionsStub(self.channel)

    def _service(self, stub):
        return Service(self, stub(self.channel))

    def new_queue(self, **options):
        return self._new(registry_pb2.Options(queue=queue_pb2.Options(**options)))

    def new_kv(self, **options):
        return self._new(registry_pb2.Options(kv=kv_pb2.Options(**options)))

    def _new(self, options):
        name = new_name()
        self.registry.Open(registry_pb2.OpenRequest(name=name, mode=registry_pb2.CREATE, options=options))
        return common_pb2.ObjectRef(name=name)

    def close(self):
        self.channel.close()


class Service:
    """Adds the credential, and a deadline so that no script hangs."""

    def __init__(self, broker, stub):
        self.broker, self.stub = broker, stub

    def __getattr__(self, verb):
        method = getattr(self.stub, verb)

        def call(request, timeout=PATIENCE):
            return method(request, metadata=self.broker.credential, timeout=timeout)

        def future(request, timeout=PATIENCE):
            return method.future(request, metadata=self.broker.credential, timeout=timeout)

        call.future = future
        return call


def new_name():
    """Scripts run side by side against one broker."""
    return f"interop/{os.urandom(8).hex()}"


def arguments():
    """ADDRESS KEY_FILE, and what else a script was given. From here on the script has an end."""
    faulthandler.dump_traceback_later(5 * PATIENCE, exit=True)
    with open(sys.argv[2], "rb") as file:
        return sys.argv[1], file.read(), sys.argv[3:]
