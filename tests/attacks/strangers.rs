//! R08: every kind of wrong credential at every door. Refused before anything is executed, and always in the same words.

use super::{
    measure::{ms, percentile},
    wire::{Credential, Greeting, Wire, hello, origin, rpcs},
};
use crate::harness::{Broker, figure};
use bursar_proto::{AuthKey, authkey, v1};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use prost::Message;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tonic::body::Body;

/// All that a peer can see of a refusal.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    status: http::StatusCode,
    fields: BTreeMap<String, Vec<Vec<u8>>>,
    body: Vec<u8>,
}

impl Seen {
    fn grpc_status(&self) -> Option<&[u8]> {
        self.fields.get("grpc-status").map(|values| &values[0][..])
    }
}

/// A call with these credentials, written as they are; `None`: the connection is closed.
async fn call(wire: &Wire, path: &str, credentials: &[Bytes], message: &[u8]) -> Option<Seen> {
    let mut uri = origin().into_parts();
    uri.path_and_query = Some(path.parse().unwrap());
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let mut request = http::Request::post(http::Uri::from_parts(uri).unwrap())
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(framed))))
        .unwrap();
    for credential in credentials {
        request.headers_mut().append("bursar-session-bin", http::HeaderValue::from_bytes(credential).unwrap());
    }
    let mut requests = wire.requests.clone();
    requests.ready().await.ok()?;
    let response = requests.send_request(request).await.ok()?;
    let mut seen = Seen { status: response.status(), fields: BTreeMap::new(), body: vec![] };
    let mut note = |fields: &http::HeaderMap| {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "date") {
            seen.fields.entry(name.to_string()).or_default().push(value.as_bytes().to_vec());
        }
    };
    note(response.headers());
    if !response.headers().contains_key("grpc-status") && !path.ends_with("/Watch") {
        let collected = response.into_body().collect().await.ok()?;
        collected.trailers().into_iter().for_each(note);
        seen.body = collected.to_bytes().to_vec();
    }
    Some(seen)
}

fn in_base64(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(Credential::from_bytes(bytes).as_encoded_bytes())
}

/// Paths beside those of the contract: other services, unknown ones, and ways around a comparison of prefixes.
const OTHER_PATHS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/",
    "/metrics",
    "/bursar.v1.Auth",
    "/bursar.v1.Authority/Hello",
    "/bursar.v1.auth/Hello",
    "/BURSAR.V1.AUTH/Hello",
    "//bursar.v1.Auth/Hello",
    "/bursar.v1.queue.Queue/",
    "/bursar.v1.queue.Queue/Nothing",
    "/bursar.v1.Nobody/Nothing",
    "/x/bursar.v1.Auth/Hello",
    "/?/bursar.v1.Auth/Hello",
    "/%62ursar.v1.Auth/Hello",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_every_rpc_is_closed_to_every_wrong_credential() {
    // Half of the cases come from one connection that has not proved a key: it has the time for all of them.
    let broker = Broker::start_limited("pre_auth_deadline = \"10m\"");
    let key = broker.authkey();
    let owner = Wire::proven(&broker).await;
    let attacker = Wire::stranger(&broker).await;

    // What the attacker may have seen or made up. Its own connection has proved a key, for half of the cases.
    let stolen = Bytes::copy_from_slice(owner.credential.as_ref().unwrap().as_encoded_bytes());
    let closed = Wire::proven(&broker).await;
    let of_closed = Bytes::copy_from_slice(closed.credential.as_ref().unwrap().as_encoded_bytes());
    drop(closed);
    let greeting = attacker.greet(hello(key.id())).await.unwrap();
    let mut own = greeting.credential(&key);
    let unproven = in_base64(&own); // right, but for a proof that was not given
    let mut wrong: Vec<(&str, Vec<Bytes>)> = vec![
        ("none", vec![]),
        ("empty", vec![Bytes::new()]),
        ("no base64", vec![Bytes::from_static(b"!!!")]),
        ("zeros", vec![in_base64(&[0; 48])]),
        ("random", vec![in_base64(&authkey::random::<48>())]),
        ("long", vec![in_base64(&[7; 8000])]),
        ("stolen", vec![stolen.clone()]),
        ("of a closed connection", vec![of_closed]),
        ("several stolen", vec![stolen.clone(), stolen.clone()]),
    ];
    let paths: Vec<String> = rpcs()
        .into_iter()
        .chain(OTHER_PATHS.iter().map(|path| path.to_string()))
        .filter(|path| !path.starts_with("/bursar.v1.Auth/"))
        .collect();
    assert!(paths.len() > 40, "the contract has its rpcs");
    let refusal = call(&attacker, "/bursar.v1.queue.Queue/Put", &[], &[]).await.unwrap();
    assert_eq!(refusal.grpc_status(), Some(&b"16"[..]), "{refusal:?}");
    assert_eq!(refusal.fields["bursar-auth"], [b"handshake-required".to_vec()]);
    let mut cases = 0;
    for is_proven in [false, true] {
        if is_proven {
            attacker.prove(greeting.prove(&key)).await.unwrap();
            let (id, token) = own.split_at(16);
            wrong.extend([
                ("half", vec![in_base64(id)]),
                ("token without id", vec![in_base64(token)]),
                ("short", vec![in_base64(&own[..47])]),
                ("with more behind", vec![in_base64(&[&own[..], &[0]].concat())]),
                ("token under another id", vec![in_base64(&[&[0; 16], token].concat())]),
                ("stolen, then right", vec![stolen.clone(), in_base64(&own)]),
            ]);
            own[20] ^= 1;
            wrong.push(("one bit wrong", vec![in_base64(&own)]));
            own[20] ^= 1;
        } else {
            wrong.push(("right, unproven", vec![unproven.clone()]));
        }
        for path in &paths {
            for (what, credentials) in &wrong {
                let seen = call(&attacker, path, credentials, &[]).await;
                assert_eq!(seen.as_ref(), Some(&refusal), "{path} with the credential: {what}");
                cases += 1;
            }
        }
        wrong.retain(|(what, _)| *what != "right, unproven");
    }
    // It was the credential that was missing: with it, the gate opens for every path.
    for path in &paths {
        let seen = call(&attacker, path, &[in_base64(&own)], &[]).await.unwrap();
        assert_ne!(seen.grpc_status(), Some(&b"16"[..]), "{path}");
    }
    let status = owner.unary("/bursar.v1.registry.Registry/Status", v1::registry::StatusRequest {}).await;
    let status: v1::registry::StatusReply = status.unwrap();
    assert_eq!(status.objects, 0, "nothing was executed");
    figure("R08", format!("calls with wrong credentials {cases}, admitted 0, distinguishable 0"));
}

/// A `Prove` as a peer sees its answer.
async fn prove(wire: &Wire, request: &v1::ProveRequest) -> Seen {
    call(wire, "/bursar.v1.Auth/Prove", &[], &request.encode_to_vec()).await.expect("one failure closes nothing")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_wrong_proofs_are_all_the_same() {
    let broker = Broker::start();
    let (key, other) = (broker.authkey(), AuthKey::new(&[9; 32]).unwrap());
    let greeted = async |id: &str| {
        let wire = Wire::stranger(&broker).await;
        let greeting = wire.greet(hello(id)).await.unwrap();
        (wire, greeting)
    };
    // What an eavesdropper has of a handshake that went well.
    let (owner, overheard) = greeted(key.id()).await;
    let right = overheard.prove(&key);
    let server_proof = owner.prove(right.clone()).await.unwrap().server_proof;

    let mut answers: Vec<(&str, Seen)> = Vec::new();
    let (wire, greeting) = greeted(key.id()).await;
    answers.push(("another key", prove(&wire, &greeting.prove(&other)).await));
    answers.push(("the right one, second in its handshake", prove(&wire, &greeting.prove(&key)).await));
    let (wire, greeting) = greeted("nobody").await;
    answers.push(("an unknown key id", prove(&wire, &greeting.prove(&key)).await));
    let wire = Wire::stranger(&broker).await;
    answers.push(("no Hello", prove(&wire, &right).await));
    answers.push(("replayed on the same connection", prove(&owner, &right).await));
    let (wire, _) = greeted(key.id()).await;
    answers.push(("replayed on another", prove(&wire, &right).await));
    let (wire, greeting) = greeted(key.id()).await;
    answers.push(("replayed in another handshake", prove(&wire, &greeting.prove_with(&right.client_proof)).await));
    let (wire, greeting) = greeted(key.id()).await;
    answers.push(("the broker's own proof, reflected", prove(&wire, &greeting.prove_with(&server_proof)).await));
    let wire = Wire::stranger(&broker).await;
    let same_nonce = Greeting { reply: wire.greet(overheard.hello.clone()).await.unwrap().reply, hello: overheard.hello.clone() };
    answers.push(("replayed under the same client nonce", prove(&wire, &same_nonce.prove_with(&right.client_proof)).await));
    for (what, proof) in [
        ("empty", vec![]),
        ("zeros", vec![0; 32]),
        ("short", right.client_proof[..31].to_vec()),
        ("long", [&right.client_proof[..], &[0]].concat()),
    ] {
        let (wire, greeting) = greeted(key.id()).await;
        answers.push((what, prove(&wire, &greeting.prove_with(&proof)).await));
    }
    // The sides disagree about the channel, as with a relay in between.
    let (wire, mut greeting) = greeted(key.id()).await;
    greeting.hello.binding = "unix".into();
    answers.push(("another binding", prove(&wire, &greeting.prove(&key)).await));
    let (wire, mut greeting) = greeted(key.id()).await;
    greeting.hello.key_id = "nobody".into();
    answers.push(("another key id in the transcript", prove(&wire, &greeting.prove(&key)).await));

    let (_, refusal) = answers[0].clone();
    assert_eq!(refusal.grpc_status(), Some(&b"16"[..]));
    for (what, seen) in &answers {
        assert_eq!(seen, &refusal, "{what}");
    }
    // The first handshake's credential is still good: nobody can push out another by failing.
    let seen = call(&owner, "/bursar.v1.registry.Registry/Status", &[in_base64(&overheard.credential(&key))], &[]).await.unwrap();
    assert_eq!(seen.grpc_status(), Some(&b"0"[..]), "{seen:?}");
    figure("R08", format!("wrong proofs {}, accepted 0, distinguishable 0", answers.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_the_third_wrong_proof_closes_the_connection() {
    let broker = Broker::start();
    let wire = Wire::stranger(&broker).await;
    let other = AuthKey::new(&[9; 32]).unwrap();
    for _ in 0..3 {
        let greeting = wire.greet(hello("default")).await.unwrap();
        assert!(wire.prove(greeting.prove(&other)).await.is_err());
    }
    while wire.greet(hello("default")).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_no_downgrade() {
    let broker = Broker::start();
    let key = broker.authkey();
    let mut cases = 0;
    for by_tcp in [false, true] {
        let right = hello(key.id());
        let bad = |change: &dyn Fn(&mut v1::HelloRequest)| {
            let mut hello = right.clone();
            change(&mut hello);
            hello
        };
        let mut bads = vec![
            bad(&|hello| hello.version = 0),
            bad(&|hello| hello.version = 2),
            bad(&|hello| hello.version = u32::MAX),
            bad(&|hello| hello.client_nonce = Bytes::new()),
            bad(&|hello| hello.client_nonce = vec![1; 31].into()),
            bad(&|hello| hello.client_nonce = vec![1; 33].into()),
            bad(&|hello| hello.binding = String::new()),
            bad(&|hello| hello.binding = "tls-cert-sha256".into()),
            bad(&|hello| hello.binding = "None".into()),
            bad(&|hello| hello.key_id = "k".repeat(1000)),
        ];
        if by_tcp {
            bads.push(bad(&|hello| hello.binding = "unix".into()));
        }
        for bad in bads {
            let wire = if by_tcp { Wire::stranger_by_tcp(&broker).await } else { Wire::stranger(&broker).await };
            let refused = wire.greet(bad.clone()).await.err().expect("a Hello that is not version 1 is refused");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{bad:?}: {refused}");
            let reply =
                v1::HelloReply { server_nonce: vec![0; 32].into(), handshake_id: vec![0; 16].into(), ..Default::default() };
            let prove = Greeting { hello: bad, reply }.prove(&key);
            assert!(wire.prove(prove).await.is_err(), "nothing is pending");
            cases += 1;
        }
    }
    figure("R08", format!("downgrades {cases}, accepted 0"));
}

/// Who may not know which key ids exist cannot find out: an unknown id and a wrong key give the same answers, in the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_key_ids_cannot_be_enumerated() {
    let broker = Broker::start();
    let guess = AuthKey::new(&[9; 32]).unwrap();
    let attempt = async |id: &str| {
        let wire = Wire::stranger(&broker).await;
        let start = Instant::now();
        let greeting = wire.greet(hello(id)).await.unwrap();
        let seen = prove(&wire, &greeting.prove(&guess)).await;
        let v1::HelloReply { handshake_id, server_nonce, server_id, boot_epoch } = greeting.reply;
        let shape = (handshake_id.len(), server_nonce.len(), server_id, boot_epoch);
        (start.elapsed(), shape, seen)
    };
    let mut times: [Vec<Duration>; 2] = Default::default();
    let (_, shape, seen) = attempt("default").await;
    for n in 0..200 {
        // Always as long as the real one.
        let id = ["default".to_owned(), format!("unkno{:02}", n % 100)][n % 2].clone();
        let (time, its_shape, its_seen) = attempt(&id).await;
        assert_eq!((its_shape, its_seen), (shape.clone(), seen.clone()), "{id}");
        times[n % 2].push(time);
    }
    let median = |times: &[Duration]| ms(percentile(times, 50));
    figure("R08", format!("key ids: known p50 {}, unknown p50 {}, differing answers 0", median(&times[0]), median(&times[1])));
}
