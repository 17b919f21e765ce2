//! A broker is built: its rooms are put together, its objects declared, its addresses bound. Nothing of it runs yet; what that takes is in
//! `services.rs`.

use super::{MemoryConnector, ServeError, keys, routes::routes};
use crate::{
    auth::Keyring,
    clock::Clock,
    config::Config,
    lifecycle::Node,
    objects::{agenda::Agenda, door::Door, host::World, kind::SessionId, registry::Registry},
    own::{Additions, Residents},
    sessions::{Settings, Table},
    supervisor::{self, Supervisor},
    transport::{self, Inherited, Listener, PartialBytes, Server},
};
use bursar_proto::{Address, AuthKey, v1::registry as pb};
use std::{sync::Arc, time::Duration};
use tokio::{io::DuplexStream, sync::mpsc};
use tonic_health::server::HealthReporter;

/// Connections within the process that wait to be accepted. They are at once.
const MEMORY_BACKLOG: usize = 16;

/// What of a broker is there from before its start until after its end. Dropped, its connections are cut and what runs of its objects is
/// dropped, however it came to that.
pub(super) struct House {
    pub server: Arc<Server>,
    pub health: HealthReporter,
    /// Objects that this process itself serves.
    pub residents: Residents,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// The way in without a socket.
    pub memory: MemoryConnector,
    /// How long clients have to finish.
    pub grace: Duration,
}

/// A broker that can be started.
pub(super) struct Built {
    pub house: House,
    pub clock: Clock,
    pub agenda: Arc<Agenda>,
    pub listeners: Vec<Listener>,
    /// Connections within the process come in here.
    pub streams: mpsc::Receiver<DuplexStream>,
    /// What moves in before anybody else comes, and what sits on top of it all.
    pub additions: Additions,
    pub keys: Vec<AuthKey>,
}

impl House {
    /// At once.
    pub fn cut(&self) {
        self.server.stopping.cancel();
        self.server.stopped.cancel();
        self.residents.evict();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.cut();
    }
}

/// `inherited`: sockets that listen already. Those of a configured address take its place, the others come behind.
pub(super) async fn build(
    config: Config,
    mut keys: Vec<AuthKey>,
    mut additions: Additions,
    inherited: Vec<Inherited>,
) -> Result<Built, ServeError> {
    raise_descriptor_limit();
    let addresses = config.listen.iter().chain(inherited.iter().map(Inherited::address));
    keys::check(&keys, addresses, config.allow_weak_key)?;
    let supervises = config.supervise || !config.processes.is_empty();
    let supervisor = supervises.then(|| supervisor(&config, &mut keys, &mut additions));
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
    let residents = Residents::new(&door);
    let settings = Settings {
        ttl_ms: config.limits.session_ttl.as_millis() as u64,
        payload_bytes_max: config.limits.payload_bytes,
        calls_in_flight_max: config.limits.calls_in_flight,
        server_id: keyring.server_id,
        boot_epoch,
        engine: ("memory", "nothing"),
    };
    let table = Table::new(door, clock.clone(), settings);
    let listeners = listen(&config, inherited).await?;
    let addresses: Vec<Address> = listeners.iter().filter_map(Listener::address).collect();
    let (memory, streams) = mpsc::channel(MEMORY_BACKLOG);
    let (health, health_service) = tonic_health::server::health_reporter();
    let server = Server::new(
        connection_limits(&config),
        keyring.clone(),
        routes(keyring, table.clone(), health_service),
        table,
        clock.clone(),
        Arc::new(PartialBytes::new(config.limits.partial_bytes as u64, config.limits.partial_bytes_per_connection as u64)),
    );
    let memory = MemoryConnector(memory);
    if let Some(supervisor) = supervisor {
        let (table, connector, clock) = (server.table.clone(), memory.clone(), clock.clone());
        supervisor.move_in(supervisor::House { table, connector, addresses: Vec::clone(&addresses), clock });
    }
    let house = House { server, health, residents, addresses, memory, grace: config.limits.shutdown_grace };
    Ok(Built { house, clock, agenda, listeners, streams, additions, keys })
}

/// With a key of its own, its object, and itself on top of everything.
fn supervisor(config: &Config, keys: &mut Vec<AuthKey>, additions: &mut Additions) -> Arc<Supervisor> {
    let supervisor = Arc::new(Supervisor::new(config.processes.clone()));
    for (process, turn, hook) in additions.take_hooks() {
        supervisor.add_hook(process, turn, hook);
    }
    keys.push(supervisor.key());
    additions.add_object(supervisor::OBJECT.into(), supervisor.object());
    additions.add_service(Node::from(&supervisor));
    supervisor
}

async fn listen(config: &Config, mut inherited: Vec<Inherited>) -> Result<Vec<Listener>, ServeError> {
    let mut listeners = Vec::new();
    for address in &config.listen {
        let given = inherited.iter().position(|inherited| inherited.is_for(address));
        listeners.push(match given {
            Some(at) => inherited.remove(at).listen(config.insecure_tcp)?,
            None => Listener::bind(address, config.insecure_tcp).await?,
        });
    }
    for inherited in inherited {
        listeners.push(inherited.listen(config.insecure_tcp)?);
    }
    Ok(listeners)
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
