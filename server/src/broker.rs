//! The broker: where all rooms are put together, started and stopped.
//!
//! ```text
//! start: keys, objects, listeners ─► serving ─► stop: GoingAway, nobody begins to wait ─► grace ─► cut ─► gone
//! ```

use crate::{
    auth::{AuthService, Keyring},
    clock::Clock,
    config::{self, Config, KeyFile, RuntimeDirError},
    objects::{agenda::Agenda, door::Door, host::World, kind::SessionId, registry::Registry},
    own::{self, Additions, Residents},
    sessions::{SessionsService, Settings, Table, Unary},
    transport::{self, BindError, Listener, PartialBytes, Server},
};
use bursar_proto::{
    Address, AuthKey, Fault, KeyError, authkey, limits,
    v1::{
        array::array_server::ArrayServer, auth_server::AuthServer, barrier::barrier_server::BarrierServer,
        channel::channel_server::ChannelServer, condition::condition_server::ConditionServer,
        counter::counter_server::CounterServer, event::event_server::EventServer, kv::kv_server::KvServer,
        latch::latch_server::LatchServer, list::list_server::ListServer, lock::lock_server::LockServer,
        object::object_server::ObjectServer, queue::queue_server::QueueServer, registry as pb,
        registry::registry_server::RegistryServer, rwlock::rwlock_server::RwlockServer,
        semaphore::semaphore_server::SemaphoreServer, sessions_server::SessionsServer, topic::topic_server::TopicServer,
        txn::txn_server::TxnServer,
    },
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{io::DuplexStream, sync::mpsc, task::JoinSet};
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

/// A broker could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServeError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "the key {id:?} is shorter than 16 bytes: on {address} such a key is refused; use a longer one (`bursar keygen`), or --allow-weak-key on Unix and loopback addresses"
    )]
    WeakKey { id: String, address: Address },
    #[error("two keys have the id {id:?}: give each its own, as ID=PATH")]
    SameKeyId { id: String },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the object {name:?} cannot be declared: {fault}")]
    Declared { name: String, fault: Fault },
    #[error("the object {name:?} cannot be registered: {problem}")]
    Registered { name: String, problem: String },
    #[error("the kind {name:?} cannot be added: {problem}")]
    OwnKind { name: String, problem: String },
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// A running broker. Dropped without [`Broker::stop`], it stops at once.
pub struct Broker {
    server: Arc<Server>,
    addresses: Vec<Address>,
    memory: mpsc::Sender<DuplexStream>,
    health: HealthReporter,
    /// Objects that this process itself serves.
    residents: Residents,
    tasks: JoinSet<()>,
    grace: Duration,
}

/// Connects to a broker within this process, without a socket.
#[derive(Clone, Debug)]
pub struct MemoryConnector(mpsc::Sender<DuplexStream>);

/// Bytes under way in each direction of a connection within the process.
const MEMORY_PIPE_BYTES: usize = 256 << 10;

impl MemoryConnector {
    /// A new connection: this is the client's end.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (client, broker) = tokio::io::duplex(MEMORY_PIPE_BYTES);
        let gone = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the broker has stopped");
        self.0.send(broker).await.map(|()| client).map_err(gone)
    }
}

impl Broker {
    /// Starts a broker on the current runtime: it listens when this returns.
    pub async fn start(config: Config) -> Result<Broker, ServeError> {
        let keys = read_keys(&config)?;
        Broker::start_with_keys(config, keys).await
    }

    /// As [`Broker::start`], with keys that are not in files.
    pub async fn start_with_keys(config: Config, keys: Vec<AuthKey>) -> Result<Broker, ServeError> {
        Broker::start_with(config, keys, Additions::default()).await
    }

    /// A broker with objects and kinds of one's own.
    pub fn builder() -> own::Builder {
        own::Builder::default()
    }

    pub(crate) async fn start_with(config: Config, keys: Vec<AuthKey>, additions: Additions) -> Result<Broker, ServeError> {
        raise_descriptor_limit();
        check_weak_keys(&config, &keys)?;
        let clock = Clock::start();
        let boot_epoch = clock.epoch().0;
        let keyring = Arc::new(Keyring::new(keys.clone(), boot_epoch));
        let agenda = Arc::new(Agenda::default());
        let world = Arc::new(World::new(clock.clone(), agenda.clone(), None, config.limits.payload_bytes));
        let registry = Registry::new(world, config.limits.objects).with_own_kinds(additions.kinds()?);
        for declared in &config.objects {
            declare(&registry, declared.name.as_str(), declared.options.clone())?;
        }
        let door = Arc::new(Door::new(registry));
        let settings = Settings {
            ttl_ms: config.limits.session_ttl.as_millis() as u64,
            payload_bytes_max: config.limits.payload_bytes,
            calls_in_flight_max: config.limits.calls_in_flight,
            server_id: keyring.server_id,
            boot_epoch,
            engine: ("memory", "nothing"),
        };
        let table = Table::new(door, clock.clone(), settings);
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(Listener::bind(address, config.insecure_tcp).await?);
        }
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let (memory, streams) = mpsc::channel(16);
        let (health, health_service) = tonic_health::server::health_reporter();
        let server = Server::new(
            connection_limits(&config),
            keyring.clone(),
            routes(keyring, table.clone(), health_service),
            table.clone(),
            clock.clone(),
            Arc::new(PartialBytes::new(config.limits.partial_bytes as u64, config.limits.partial_bytes_per_connection as u64)),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(agenda.run(clock));
        tasks.spawn(table.watch_silence());
        tasks.spawn(server.clone().accept(Listener::Memory(streams)));
        // Before anybody else comes: whoever finds the broker finds its objects.
        let residents = additions.move_in(server.table.door.clone(), MemoryConnector(memory.clone()), &keys).await?;
        for listener in listeners {
            tasks.spawn(server.clone().accept(listener));
        }
        Ok(Broker { server, addresses, memory, health, residents, tasks, grace: config.limits.shutdown_grace })
    }

    /// Where it listens; ports that the system chose are written out.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// A way in without a socket.
    pub fn connector(&self) -> MemoryConnector {
        MemoryConnector(self.memory.clone())
    }

    /// Ends a session as if its process had been killed.
    pub(crate) fn lose_session(&self, id: SessionId) {
        self.server.table.lose(id);
    }

    /// Stops: sessions are told, whoever waits is answered, clients and the methods that run get the grace to finish, then connections
    /// are cut.
    pub async fn stop(mut self) {
        let Broker { server, health, residents, tasks, grace, .. } = &mut self;
        tracing::info!(sessions = server.table.count(), ?grace, "stopping");
        health.set_service_status("", ServingStatus::NotServing).await;
        server.table.going_away(*grace);
        server.stopping.cancel();
        server.table.door.close();
        server.tasks.close();
        let finished = async {
            residents.finish().await;
            server.tasks.wait().await;
        };
        if tokio::time::timeout(*grace, finished).await.is_err() {
            tracing::info!(sessions = server.table.count(), "the grace is over: cutting what is left");
        }
        server.stopped.cancel();
        let _ = tokio::time::timeout(Duration::from_millis(200), server.tasks.wait()).await;
        tasks.shutdown().await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.server.stopping.cancel();
        self.server.stopped.cancel();
        self.residents.evict();
    }
}

/// Runs a broker until SIGTERM or ctrl-c; a second signal stops it at once. `started` is told where it listens.
pub async fn serve(config: Config, started: impl FnOnce(&[Address])) -> Result<(), ServeError> {
    serve_until_signal(Broker::start(config), started).await
}

/// As [`serve`], whatever the broker is made of.
pub(crate) async fn serve_until_signal(
    starting: impl Future<Output = Result<Broker, ServeError>>,
    started: impl FnOnce(&[Address]),
) -> Result<(), ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let broker = starting.await?;
    started(broker.addresses());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        () = broker.stop() => {}
        _ = terminate.recv() => tracing::warn!("second signal: stopping at once"),
        _ = interrupt.recv() => tracing::warn!("second signal: stopping at once"),
    }
    Ok(())
}

/// Where nothing was said: the socket and the key in the runtime directory. The key is made if there is none.
pub(crate) fn fill(config: &mut Config, needs_key: bool) -> Result<(), ServeError> {
    let needs_key = needs_key && config.keys.is_empty();
    if !config.listen.is_empty() && !needs_key {
        return Ok(());
    }
    let directory = config::runtime_dir()?;
    if config.listen.is_empty() {
        config.listen.push(Address::Unix(config::default_socket(&directory)));
    }
    if needs_key {
        let path = config::default_authkey(&directory);
        make_key(&path)?;
        config.keys.push(KeyFile { id: authkey::DEFAULT_KEY_ID.into(), path });
    }
    Ok(())
}

/// A key that is there already is kept; whether it may be used is found out when it is read.
fn make_key(path: &Path) -> Result<(), KeyError> {
    match AuthKey::generate(path) {
        Err(KeyError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

pub(crate) fn read_keys(config: &Config) -> Result<Vec<AuthKey>, ServeError> {
    let read = |file: &crate::config::KeyFile| {
        let key = if config.allow_weak_key { AuthKey::weak_from_file(&file.path) } else { AuthKey::from_file(&file.path) };
        key.map(|key| key.with_id(&file.id))
    };
    Ok(config.keys.iter().map(read).collect::<Result<_, _>>()?)
}

fn check_weak_keys(config: &Config, keys: &[AuthKey]) -> Result<(), ServeError> {
    if keys.is_empty() {
        return Err(KeyError::Missing.into());
    }
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].iter().any(|earlier| earlier.id() == key.id()) {
            return Err(ServeError::SameKeyId { id: key.id().to_owned() });
        }
    }
    let Some(weak) = keys.iter().find(|key| key.is_short()) else { return Ok(()) };
    let is_near = |address: &Address| match address {
        Address::Unix(_) => true,
        Address::Tcp { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        }
    };
    match config.listen.iter().find(|address| !config.allow_weak_key || !is_near(address)) {
        Some(address) => Err(ServeError::WeakKey { id: weak.id().to_owned(), address: address.clone() }),
        None => Ok(()),
    }
}

fn declare(registry: &Registry, name: &str, options: pb::Options) -> Result<(), ServeError> {
    let request =
        pb::OpenRequest { name: name.to_owned(), mode: pb::Mode::Create as i32, options: Some(options), ephemeral: false };
    let declared = registry.open(SessionId(0), request);
    declared.map(drop).map_err(|fault| ServeError::Declared { name: name.to_owned(), fault })
}

fn connection_limits(config: &Config) -> transport::Limits {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // A quarter is for memory. A connection takes a socket and, for a local peer, a pidfd; the rest is for the broker itself.
    let possible = usize::try_from((descriptors - descriptors / 4).saturating_sub(128) / 2).unwrap_or(usize::MAX).max(1);
    let crate::config::Limits {
        connections,
        pre_auth_connections,
        pre_auth_deadline,
        streams_per_connection,
        keepalive_interval,
        keepalive_timeout,
        ..
    } = config.limits.clone();
    transport::Limits {
        connections: connections.min(possible),
        pre_auth_connections,
        pre_auth_deadline,
        streams_per_connection: u32::try_from(streams_per_connection).unwrap_or(u32::MAX),
        keepalive_interval,
        keepalive_timeout,
    }
}

/// The soft limit of descriptors is meant for programs that use `select`; a broker takes what it may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit { current: maximum, maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Everything behind the gate.
fn routes(keyring: Arc<Keyring>, table: Arc<Table>, health: HealthServer<impl Health>) -> Routes {
    let unary = Unary { table: table.clone() };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bursar_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled with this program");
    const MAX: usize = limits::MESSAGE_BYTES_MAX;
    const AUTH_MAX: usize = limits::AUTH_MESSAGE_BYTES_MAX;
    Routes::new(AuthServer::new(AuthService { keyring }).max_decoding_message_size(AUTH_MAX).max_encoding_message_size(AUTH_MAX))
        .add_service(SessionsServer::new(SessionsService { table }).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(RegistryServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(QueueServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(KvServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(LockServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(RwlockServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(SemaphoreServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(EventServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(LatchServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ConditionServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(BarrierServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(CounterServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ListServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ArrayServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ChannelServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(TopicServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ObjectServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(TxnServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(health)
        .add_service(reflection)
        .prepare()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authkey");
        make_key(&path).unwrap();
        let first = std::fs::read(&path).unwrap();
        make_key(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert!(make_key(&directory.path().join("no/authkey")).is_err());
    }
}
