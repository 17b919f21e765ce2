//! A broker for tests, examples in the documentation, and first tries: on a Unix socket in a directory of its own, with a fresh
//! key, in threads of this process. It is gone when it is dropped.

use crate::{Broker, broker::MemoryConnector, config::Config, objects::kind::SessionId, own};
use bursar_proto::{Address, AuthKey};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// A broker that lives as long as this value.
pub struct TestBroker {
    /// Before the directory: the socket's file is removed in it.
    broker: Option<Broker>,
    runtime: Option<Runtime>,
    key_file: PathBuf,
    key: AuthKey,
    address: String,
    tcp: String,
    _directory: tempfile::TempDir,
}

impl TestBroker {
    /// Starts a broker; it listens when this returns. Panics if it cannot.
    pub fn start() -> TestBroker {
        TestBroker::start_with(|_| {})
    }

    /// As [`TestBroker::start`], with another configuration.
    pub fn start_with(configure: impl FnOnce(&mut Config)) -> TestBroker {
        TestBroker::build(configure, |builder| builder)
    }

    /// As [`TestBroker::start`], with objects and kinds of one's own.
    pub fn start_building(build: impl FnOnce(own::Builder) -> own::Builder) -> TestBroker {
        TestBroker::build(|_| {}, build)
    }

    fn build(configure: impl FnOnce(&mut Config), build: impl FnOnce(own::Builder) -> own::Builder) -> TestBroker {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let key_file = directory.path().join("authkey");
        let key = AuthKey::generate(&key_file).expect("a key can be written there");
        let socket = Address::Unix(directory.path().join("bursar.sock"));
        let loopback = Address::Tcp { host: "127.0.0.1".into(), port: 0 };
        let mut config = Config { listen: vec![socket, loopback], ..Config::default() };
        configure(&mut config);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be started");
        let broker = runtime
            .block_on(build(Broker::builder().config(config).key(key.clone())).start())
            .unwrap_or_else(|error| panic!("the broker starts: {error}"));
        let [address, tcp] = [0, 1].map(|at| broker.addresses()[at].to_string());
        let broker = Some(broker);
        TestBroker { broker, runtime: Some(runtime), key_file, key, address, tcp, _directory: directory }
    }

    /// Its Unix socket, as a client names it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its TCP address on loopback.
    pub fn tcp_address(&self) -> &str {
        &self.tcp
    }

    /// Its key.
    pub fn authkey(&self) -> AuthKey {
        self.key.clone()
    }

    /// The file with its key.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// A way in without a socket.
    pub fn connector(&self) -> MemoryConnector {
        self.broker.as_ref().expect("it was not stopped").connector()
    }

    /// Ends a session as if its process had been killed.
    pub fn lose_session(&self, id: u64) {
        self.broker.as_ref().expect("it was not stopped").lose_session(SessionId(id));
    }

    /// Stops as SIGTERM would.
    pub fn stop(&mut self) {
        if let (Some(runtime), Some(broker)) = (&self.runtime, self.broker.take()) {
            runtime.block_on(broker.stop()).unwrap_or_else(|error| panic!("the broker stops in order: {error}"));
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.broker.take();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
