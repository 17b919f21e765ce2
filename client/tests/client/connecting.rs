//! The ways in which connecting fails: each is another error, and says what to do.

use super::connected;
use bursar::{AuthKey, BoxIo, Error, Manager, blocking::block_on, proto::v1};
use bursar_server::testing::TestBroker;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status};
use v1::auth_server::{Auth, AuthServer};

fn key() -> AuthKey {
    AuthKey::new(&[7; 32]).unwrap()
}

fn connect_error(address: &str, key: AuthKey) -> Error {
    block_on(Manager::connect(address, key)).unwrap_err()
}

#[test]
fn a_wrong_key_is_said_to_be_wrong() {
    let broker = TestBroker::start();
    for key in [key(), broker.authkey().with_id("other")] {
        let error = connect_error(broker.address(), key);
        assert!(matches!(error, Error::WrongKey { .. }), "{error}");
        assert!(!error.is_retryable() && error.has_no_side_effects());
    }
    block_on(Manager::connect(broker.tcp_address(), broker.authkey())).unwrap();
}

#[test]
fn nobody_at_the_address() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/bursar.sock", directory.path().display());
    let error = connect_error(&address, key());
    assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains("is `bursar serve` running?"), "{error}");
}

#[test]
fn somebody_who_is_no_broker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bursar.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"-ERR unknown command\r\n").unwrap();
    });
    let error = connect_error(&format!("unix://{}", path.display()), key());
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    server.join().unwrap();
}

/// In a crowd of connections that have proved nothing, a broker closes the oldest, whoever they are.
#[test]
fn who_is_turned_away_in_a_crowd_comes_again() {
    let (broker, attempts) = (TestBroker::start(), Arc::new(AtomicUsize::new(0)));
    let (to_broker, counter) = (broker.connector(), attempts.clone());
    let connector = move || {
        let (to_broker, attempt) = (to_broker.clone(), counter.fetch_add(1, Ordering::SeqCst));
        async move {
            let mut stream = to_broker.connect().await?;
            if attempt == 0 {
                stream = tokio::io::duplex(64).0; // closed at once
            } else if attempt == 1 {
                let (client, mut other) = tokio::io::duplex(64 << 10);
                stream = client;
                // Closed after the first bytes of the handshake.
                tokio::spawn(async move { other.read_u8().await });
            }
            Ok(Box::new(stream) as BoxIo)
        }
    };
    block_on(Manager::builder().connector(connector).authkey(broker.authkey()).connect()).unwrap();
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[test]
fn who_is_always_turned_away_is_told_so_in_time() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = attempts.clone();
    let connector = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok(Box::new(tokio::io::duplex(64).0) as BoxIo) }
    };
    let builder = Manager::builder().connector(connector).authkey(key()).connect_timeout(Duration::from_secs(1));
    let error = block_on(builder.connect()).unwrap_err();
    let kind = std::io::ErrorKind::ConnectionAborted;
    assert!(matches!(&error, Error::Unreachable { source, .. } if source.kind() == kind), "{error}");
    assert!(attempts.load(Ordering::SeqCst) > 1);
}

#[test]
fn somebody_who_never_answers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bursar.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let builder = Manager::builder().address(format!("unix://{}", path.display())).unwrap().authkey(key());
    let error = block_on(builder.connect_timeout(Duration::from_millis(50)).connect()).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut), "{error}");
}

#[test]
fn a_directory_that_everybody_can_write_to() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/bursar.sock", directory.path().display());
    let set_mode = |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o777);
    let error = connect_error(&address, key());
    assert!(matches!(error, Error::UnsafeDirectory { .. }) && error.to_string().contains("chmod o-w"), "{error}");
    set_mode(0o1777);
    assert!(matches!(connect_error(&address, key()), Error::Unreachable { .. }), "the sticky bit protects the socket");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    assert!(matches!(connect_error("localhost:7878", key()), Error::Address(_)));
    let error = block_on(Manager::builder().connect()).unwrap_err();
    assert!(error.to_string().contains("address"), "{error}");
    let builder = Manager::builder().address("tcp://127.0.0.1:1").unwrap();
    assert!(matches!(block_on(builder.clone().connect()).unwrap_err(), Error::NoKey(_)));
    let error = block_on(builder.authkey(key()).ttl(Duration::from_millis(1)).connect()).unwrap_err();
    assert!(error.to_string().starts_with("ttl: expected 500 ms"), "{error}");
}

/// Knows everything of the handshake except the key.
struct Impostor;

#[tonic::async_trait]
impl Auth for Impostor {
    async fn hello(&self, _: Request<v1::HelloRequest>) -> Result<Response<v1::HelloReply>, Status> {
        let (handshake_id, server_nonce, server_id) = (vec![1; 16].into(), vec![2; 32].into(), vec![3; 16].into());
        Ok(Response::new(v1::HelloReply { handshake_id, server_nonce, server_id, boot_epoch: 1 }))
    }

    async fn prove(&self, request: Request<v1::ProveRequest>) -> Result<Response<v1::ProveReply>, Status> {
        // The best guess there is: the client's own proof, reflected.
        let server_proof = request.into_inner().client_proof;
        Ok(Response::new(v1::ProveReply { server_proof, expires_in_ms: 1000 }))
    }
}

#[test]
fn a_broker_without_the_key_is_not_trusted() {
    let connector = || async {
        let (client, broker) = tokio::io::duplex(64 << 10);
        tokio::spawn(async {
            let service = TowerToHyperService::new(AuthServer::new(Impostor));
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(broker), service).await
        });
        Ok(Box::new(client) as BoxIo)
    };
    let error = block_on(Manager::builder().connector(connector).authkey(key()).connect()).unwrap_err();
    assert!(matches!(error, Error::BrokerNotGenuine { .. }), "{error}");
}

#[test]
fn the_broker_sees_who_connects() {
    let (broker, _manager) = connected();
    let named = Manager::builder().address(broker.address()).unwrap().authkey(broker.authkey()).label("worker 7");
    let status = block_on(async { named.connect().await?.status().await }).unwrap();
    let session = status.sessions.iter().find(|session| session.label == "worker 7").unwrap();
    assert_eq!(session.pid, std::process::id());
}
