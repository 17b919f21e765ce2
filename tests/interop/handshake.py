"""The handshake: the test vectors, a right key, wrong keys, no key, a stolen credential, renewal. ADDRESS KEY_FILE PROTOCOL_MD"""

import os
import re
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

import wire
from bursar.v1 import auth_pb2, auth_pb2_grpc, queue_pb2, queue_pb2_grpc, registry_pb2
from wire import expect, expect_that, refused

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_vectors(path):
    """Those in the documentation, so that neither they nor this file can drift."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found = re.findall(
        r'binding "(none|tls-cert-sha256)", data (empty|ab x 32)\s+TH\s+([0-9a-f]{64})\s+client_proof\s+([0-9a-f]{64})'
        r"\s+server_proof\s+([0-9a-f]{64})\s+token\s+([0-9a-f]{64})",
        text,
    )
    expect(len(found), 2, "test vectors in docs/protocol.md")
    key = wire.Key(bytes(range(32)))
    for binding, data, *expected in found:
        th = wire.transcript(
            "k1", b"\xc1" * 32, b"\x51" * 32, b"\x1d" * 16, b"\x5e" * 16, 7, binding, b"" if data == "empty" else b"\xab" * 32
        )
        proof = key.client_proof(th)
        actual = [part.hex() for part in (th, proof, key.server_proof(th, proof), key.token(th))]
        expect(actual, expected, f"the test vector of binding {binding}")


def a_right_key_opens_the_gate(address, secret):
    for binding in ["none", "unix"] if address.startswith("unix:") else ["none"]:
        broker = wire.Broker(address, secret, binding=binding)
        expect(broker.registry.Status(registry_pb2.StatusRequest()).engine, "memory", "the engine")
        broker.close()


def a_wrong_key_is_told_nothing(address, secret):
    """Wrong key, unknown key id and a proof without a Hello look the same, and no MAC of the broker comes back."""
    texts = set()
    for wrong, key_id in [(os.urandom(32), "default"), (secret, "nobody")]:
        channel = wire.open_channel(address)
        fault = refused(UNAUTHENTICATED, "WrongKey", lambda: wire.handshake(channel, wrong, key_id))
        expect(fault.number, 46, "the number of WrongKey")
        expect(dict(fault.fields), {}, "fields of WrongKey")
        texts.add(fault.message)
        channel.close()
    channel = wire.open_channel(address)
    auth = auth_pb2_grpc.AuthStub(channel)
    prove = auth_pb2.ProveRequest(handshake_id=b"\0" * 16, client_proof=b"\0" * 32)
    texts.add(refused(UNAUTHENTICATED, "WrongKey", lambda: auth.Prove(prove)).message)
    channel.close()
    expect(len(texts), 1, "different texts for different reasons")


def a_handshake_is_tried_once(address, secret):
    channel = wire.open_channel(address)
    auth, key, nonce = auth_pb2_grpc.AuthStub(channel), wire.Key(secret), os.urandom(32)
    hello = auth.Hello(auth_pb2.HelloRequest(version=1, key_id="default", client_nonce=nonce, binding="none"))
    th = wire.transcript("default", nonce, hello.server_nonce, hello.handshake_id, hello.server_id, hello.boot_epoch)

    def prove(proof):
        return auth.Prove(auth_pb2.ProveRequest(handshake_id=hello.handshake_id, client_proof=proof))

    refused(UNAUTHENTICATED, "WrongKey", lambda: prove(b"\0" * 32))
    refused(UNAUTHENTICATED, "WrongKey", lambda: prove(key.client_proof(th)))
    channel.close()


def a_bad_hello_is_explained(address):
    channel = wire.open_channel(address)
    auth, nonce = auth_pb2_grpc.AuthStub(channel), os.urandom(32)
    for argument, hello in [
        ("version", auth_pb2.HelloRequest(version=2, key_id="default", client_nonce=nonce, binding="none")),
        ("client_nonce", auth_pb2.HelloRequest(version=1, key_id="default", client_nonce=nonce[:31], binding="none")),
        ("binding", auth_pb2.HelloRequest(version=1, key_id="default", client_nonce=nonce, binding="tls-cert-sha256")),
    ]:
        fault = refused(INVALID, "BadArgument", lambda: auth.Hello(hello))
        expect(fault.fields["argument"], argument, "which argument is wrong")
    channel.close()


def a_call_without_a_credential_is_not_executed(address, secret):
    broker = wire.Broker(address, secret)
    jobs = broker.new_queue()
    put = queue_pb2.PutRequest(object=jobs, items=[queue_pb2.Item(data=b"x")])
    stranger = wire.open_channel(address)
    handshake_id, token = broker.credential[0][1][:16], broker.credential[0][1][16:]
    for what, channel, metadata in [
        ("no credential", stranger, ()),
        ("a credential of another connection", stranger, broker.credential),
        ("a wrong token", broker.channel, (("bursar-session-bin", handshake_id + token[::-1]),)),
        ("a short token", broker.channel, (("bursar-session-bin", handshake_id + token[:-1]),)),
        ("an empty entry", broker.channel, (("bursar-session-bin", b""),)),
    ]:
        try:
            queue_pb2_grpc.QueueStub(channel).Put(put, metadata=metadata, timeout=wire.PATIENCE)
            sys.exit(f"BROKEN: passed the gate with {what}")
        except grpc.RpcError as error:
            expect((error.code(), wire.fault_of(error).number), (UNAUTHENTICATED, 45), what)
            expect(wire.trailers(error).get("bursar-auth"), "handshake-required", f"the trailer, {what}")
    expect(broker.queue.Stats(queue_pb2.StatsRequest(object=jobs)).put, 0, "items put by calls that were turned away")
    broker.queue.Put(put)
    expect(broker.queue.Stats(queue_pb2.StatsRequest(object=jobs)).put, 1, "items put with the credential")
    stranger.close()
    broker.close()


def a_credential_is_renewed_in_place(address, secret):
    broker = wire.Broker(address, secret)
    jobs, earlier = broker.new_queue(), broker.credential
    broker.queue.Put(queue_pb2.PutRequest(object=jobs, items=[queue_pb2.Item(data=b"x")]))
    lease = broker.queue.Get(queue_pb2.GetRequest(object=jobs)).items[0].lease
    broker.credential = wire.handshake(broker.channel, secret)
    broker.queue.Done(queue_pb2.DoneRequest(object=jobs, leases=[lease]))
    broker.credential = earlier
    refused(UNAUTHENTICATED, "HandshakeRequired", lambda: broker.queue.Stats(queue_pb2.StatsRequest(object=jobs)))
    broker.close()


def health_and_reflection_stand_behind_the_gate(address, secret):
    broker = wire.Broker(address, secret)
    health = health_pb2_grpc.HealthStub(broker.channel)
    refused(UNAUTHENTICATED, "HandshakeRequired", lambda: health.Check(health_pb2.HealthCheckRequest()))
    status = health.Check(health_pb2.HealthCheckRequest(), metadata=broker.credential).status
    expect(status, health_pb2.HealthCheckResponse.SERVING, "the health")

    # The messages of v1 are those of v1alpha; only the path differs.
    reflection = broker.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    refused(UNAUTHENTICATED, "HandshakeRequired", lambda: list(reflection(iter([ask]), timeout=wire.PATIENCE)))
    reply = next(reflection(iter([ask]), metadata=broker.credential, timeout=wire.PATIENCE))
    names = {service.name for service in reply.list_services_response.service}
    ours = {f"bursar.v1.{name}" for name in ["Auth", "Sessions", "registry.Registry", "queue.Queue", "kv.Kv"]}
    expect(ours - names, set(), "services that reflection does not list")
    ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol="bursar.v1.queue.Queue")
    reply = next(reflection(iter([ask]), metadata=broker.credential, timeout=wire.PATIENCE))
    expect_that(len(reply.file_descriptor_response.file_descriptor_proto) > 0, "reflection describes the queue")
    broker.close()


def three_failures_close_the_connection(address, secret):
    """Seen by the credential: it was earned on a connection that is no more."""
    broker = wire.Broker(address, secret)
    for _ in range(3):
        try:
            wire.handshake(broker.channel, os.urandom(32))
            sys.exit("BROKEN: a random key was accepted")
        except grpc.RpcError as error:
            expect(error.code(), UNAUTHENTICATED, "the status of a wrong proof")

    def is_refused():
        try:
            broker.registry.Status(registry_pb2.StatusRequest())
            return False
        except grpc.RpcError as error:
            fault = wire.fault_of(error)
            return fault is not None and fault.name == "HandshakeRequired"

    wire.eventually(is_refused, "the third failure closes the connection")
    broker.close()


if __name__ == "__main__":
    address, secret, (protocol_md,) = wire.arguments()
    test_vectors(protocol_md)
    a_right_key_opens_the_gate(address, secret)
    a_wrong_key_is_told_nothing(address, secret)
    a_handshake_is_tried_once(address, secret)
    a_bad_hello_is_explained(address)
    a_call_without_a_credential_is_not_executed(address, secret)
    a_credential_is_renewed_in_place(address, secret)
    health_and_reflection_stand_behind_the_gate(address, secret)
    three_failures_close_the_connection(address, secret)
