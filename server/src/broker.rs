//! The broker: where all rooms are put together, started and stopped.
//!
//! ```text
//! start: keys, objects, listeners ─► serving ─► stop: GoingAway, nobody begins to wait ─► grace ─► cut ─► gone
//! ```
//!
//! It is a stack of services (`broker/services.rs`): nothing of it fails alone.

mod build;
mod keys;
mod routes;
mod services;
mod systemd;

pub(crate) use keys::{fill, read as read_keys};
pub use systemd::VARIABLES as MANAGER_VARIABLES;

use crate::{
    config::{Config, RuntimeDirError},
    lifecycle::{self, Interrupts, Reason, Running},
    objects::kind::SessionId,
    own::{self, Additions},
    transport::{BindError, Inherited},
};
use build::{House, build};
use bursar_proto::{Address, AuthKey, Fault, KeyError};
use std::{io, sync::Arc};
use tokio::{io::DuplexStream, sync::mpsc};

/// A broker could not be started, or did not end well.
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
    /// One of its services failed, and it has stopped for that.
    #[error(transparent)]
    Service(lifecycle::Error),
}

/// Is told where a broker listens, when everything of it is up.
pub(crate) type Started = Box<dyn FnOnce(&[Address]) + Send>;

/// A running broker. Dropped without [`Broker::stop`], it stops at once.
pub struct Broker {
    house: Arc<House>,
    /// Until it is dropped.
    running: Option<Running>,
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

impl From<lifecycle::Error> for ServeError {
    fn from(error: lifecycle::Error) -> ServeError {
        let refused = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        match refused {
            // What is known before anything runs, and this, are told in the same way.
            Some(ServeError::Registered { name, problem }) => {
                ServeError::Registered { name: name.clone(), problem: problem.clone() }
            }
            _ => ServeError::Service(error),
        }
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

    /// A broker with objects, kinds and services of one's own.
    pub fn builder() -> own::Builder {
        own::Builder::default()
    }

    pub(crate) async fn start_with(config: Config, keys: Vec<AuthKey>, additions: Additions) -> Result<Broker, ServeError> {
        let (stack, house) = services::stack(build(config, keys, additions, Vec::new()).await?, None)?;
        let running = Some(stack.start().await?);
        Ok(Broker { house, running })
    }

    /// Where it listens; ports that the system chose are written out.
    pub fn addresses(&self) -> &[Address] {
        &self.house.addresses
    }

    /// A way in without a socket.
    pub fn connector(&self) -> MemoryConnector {
        self.house.memory.clone()
    }

    /// Ends a session as if its process had been killed.
    pub(crate) fn lose_session(&self, id: SessionId) {
        self.house.server.table.lose(id);
    }

    /// Waits until the broker begins to stop by itself: one of its services has failed, or one of the program's has asked for the end
    /// ([`lifecycle::Context::request_stop`]). Then [`Broker::stop`] says which.
    ///
    /// ```
    /// use bursar_server::{Broker, lifecycle::{Context, Outcome, Service}};
    /// use std::sync::Arc;
    ///
    /// struct Errand;
    ///
    /// impl Service for Errand {
    ///     async fn start(self: Arc<Self>, context: Context) -> Outcome {
    ///         context.request_stop(); // there is not much to do
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # async fn run() -> Result<(), bursar_server::ServeError> {
    /// # let key = bursar_proto::AuthKey::weak(b"0123456789abcdef");
    /// let broker = Broker::builder().key(key).service(&Arc::new(Errand)).start().await?;
    /// broker.ending().await;
    /// broker.stop().await
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub async fn ending(&self) {
        self.running().ending().await;
    }

    /// Waits until the broker has stopped, whoever asked for it. An error if something of it had failed, the same one as often as asked.
    pub async fn wait(&mut self) -> Result<(), ServeError> {
        Ok(self.running.as_mut().expect("it is there until the drop").wait().await?)
    }

    /// Stops: what was added on top of it first; then sessions are told, whoever waits is answered, clients and the methods that run get
    /// the grace to finish, and connections are cut. An error if something of it failed, now or before.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        let running = self.running.take().expect("it is there until the drop");
        Ok(running.stop().await?)
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.house.cut();
            running.abandon();
        }
    }
}

/// Runs a broker until SIGTERM or ctrl-c; a second signal stops it at once. `started` is told where it listens. `inherited`: sockets that
/// listen already.
///
/// An error: it could not be started, or something of it failed. That it was told to stop is none.
pub async fn serve(
    config: Config,
    inherited: Vec<Inherited>,
    started: impl FnOnce(&[Address]) + Send + 'static,
) -> Result<(), ServeError> {
    let keys = read_keys(&config)?;
    serve_with(config, keys, Additions::default(), inherited, started).await
}

/// As [`serve`], whatever the broker is made of.
pub(crate) async fn serve_with(
    config: Config,
    keys: Vec<AuthKey>,
    additions: Additions,
    inherited: Vec<Inherited>,
    started: impl FnOnce(&[Address]) + Send + 'static,
) -> Result<(), ServeError> {
    let interrupts = Interrupts::of_process()?;
    let built = build(config, keys, additions, inherited).await?;
    let (stack, _house) = services::stack(built, Some(Box::new(started)))?;
    match stack.run(interrupts).await {
        Err(error) if is_as_told(&error) => Ok(()),
        ended => Ok(ended?),
    }
}

/// A signal came, or two, and nothing went wrong.
fn is_as_told(error: &lifecycle::Error) -> bool {
    error.interrupt().is_some() && error.then().iter().all(|reason| matches!(reason, Reason::StoppedAtOnce { .. }))
}
