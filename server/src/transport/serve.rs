//! Accepting connections, and driving each until it ends.
//!
//! ```text
//! accept ─► (caps) ─► what is spoken? ─► drive: HTTP/2 behind the gate ─► gone ─► linger while its process may still be seen to exit
//!    │ error: back off        │                │ not proven in time, closing, broker stopping
//!                             └─► a side socket: its session has it
//! ```

use super::{Connection, Listener, PartialBytes, Peer, Stream, heard::Heard, listen::Accepted, spoken::Spoken};
use crate::{
    auth::{Gate, Keyring},
    clock::Clock,
    sessions::Table,
};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

/// What peers may make the broker hold. The reasons stand in docs/protocol.md.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once that have proved no key.
    pub pre_auth_connections: usize,
    /// Time to prove a key.
    pub pre_auth_deadline: Duration,
    /// Streams of one connection.
    pub streams_per_connection: u32,
    /// Interval of pings.
    pub keepalive_interval: Duration,
    /// Time for their answers.
    pub keepalive_timeout: Duration,
}

const LOCAL_ERROR_RESETS_MAX: usize = 2048;
const PENDING_ACCEPT_RESETS_MAX: usize = 20;
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Before a key is proved, no more than this can be sent without being read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long a connection may take to finish what it is answering once it is to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Pauses after failed accepts: at the descriptor limit, trying again at once only burns the processor.
const ACCEPT_PAUSES: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// All listeners and connections of a broker.
pub struct Server {
    /// What peers may make the broker hold.
    pub limits: Limits,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// Everything behind the gate.
    pub routes: Routes,
    /// The sessions.
    pub table: Arc<Table>,
    /// What time it is.
    pub clock: Clock,
    /// Budget of partly received messages.
    pub partial: Arc<PartialBytes>,
    /// Connections are to end when they have answered what they were asked.
    pub stopping: CancellationToken,
    /// Connections are cut.
    pub stopped: CancellationToken,
    /// Every connection's task.
    pub tasks: TaskTracker,
    next_id: AtomicU64,
    /// Those that have proved nothing, oldest first, and some that have since. Short sections, never across an await.
    strangers: Mutex<VecDeque<Weak<Connection>>>,
}

impl Server {
    /// Nothing is accepted yet.
    pub fn new(
        limits: Limits,
        keyring: Arc<Keyring>,
        routes: Routes,
        table: Arc<Table>,
        clock: Clock,
        partial: Arc<PartialBytes>,
    ) -> Arc<Server> {
        Arc::new(Server {
            limits,
            keyring,
            routes,
            table,
            clock,
            partial,
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
            next_id: AtomicU64::new(1),
            strangers: Mutex::default(),
        })
    }

    /// Accepts connections until it is told to stop.
    pub async fn accept(self: Arc<Server>, mut listener: Listener, until: CancellationToken) {
        let mut failures = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = until.cancelled() => return,
            };
            match accepted {
                Ok((accepted, peer)) => {
                    failures = 0;
                    self.admit(accepted, peer);
                    // Whoever had to go for it goes before the next one comes.
                    tokio::task::yield_now().await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let pause = ACCEPT_PAUSES[failures.min(ACCEPT_PAUSES.len() - 1)];
                    tracing::warn!(%error, ?pause, "cannot accept connections");
                    failures += 1;
                    self.clock.sleep(pause).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Server>, accepted: Accepted, peer: Peer) {
        let open = self.table.connections.load(Ordering::Relaxed);
        if open >= self.limits.connections {
            // Dropped without a word: who is turned away here may be anybody.
            tracing::debug!(%peer, open, "turned away: too many connections");
            return;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(id, peer, self.clock.clone(), self.partial.clone()));
        // Counted here and not in the task: many may be accepted before the first of their tasks runs.
        let count = Counted::new(&self.table.connections);
        self.make_room(&connection);
        let server = self.clone();
        self.tasks.spawn(async move {
            let Some(Spoken::Http(stream)) = server.spoken(accepted, &connection).await else { return };
            server.drive(stream, &connection).await;
            server.after(&connection).await;
            // Counted as long as it may hold a descriptor, the one that watches its process included.
            drop(count);
        });
    }

    /// Too many have proved nothing: the one that has had the most time goes, so that silent crowds never keep newcomers out.
    fn make_room(&self, newcomer: &Arc<Connection>) {
        let mut strangers = self.strangers.lock();
        strangers.push_back(Arc::downgrade(newcomer));
        let is_stranger = |connection: &Weak<Connection>| {
            connection.upgrade().is_some_and(|connection| !connection.is_proven() && !connection.is_evicted())
        };
        if strangers.len() > self.limits.pre_auth_connections {
            strangers.retain(is_stranger);
        }
        while strangers.len() > self.limits.pre_auth_connections {
            if let Some(oldest) = strangers.pop_front().and_then(|oldest| oldest.upgrade()) {
                tracing::debug!(peer = %oldest.peer, "turned away: too many connections that have proved nothing");
                oldest.evict();
            }
        }
    }

    async fn spoken(&self, accepted: Accepted, connection: &Connection) -> Option<Spoken> {
        let stream = match accepted {
            Accepted::Other(stream) => return Some(Spoken::Http(stream)),
            Accepted::Unix(stream) => stream,
        };
        let spoken = tokio::select! {
            spoken = Spoken::on(stream, &self.table) => spoken,
            () = self.clock.sleep(self.limits.pre_auth_deadline) => return None,
            () = connection.until_evicted() => return None,
            () = self.stopping.cancelled() => return None,
        };
        spoken.inspect_err(|error| tracing::debug!(peer = %connection.peer, %error, "turned away")).ok()
    }

    async fn drive(&self, stream: Stream, connection: &Arc<Connection>) {
        let gate = Gate { connection: connection.clone(), keyring: self.keyring.clone(), routes: self.routes.clone() };
        let io = TokioIo::new(Heard { stream, connection: connection.clone() });
        let streams = TaskTracker::new();
        let mut http = http2::Builder::new(Tracked(streams.clone()));
        http.timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams_per_connection)
            .max_local_error_reset_streams(LOCAL_ERROR_RESETS_MAX)
            .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS_MAX)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.limits.keepalive_interval)
            .keep_alive_timeout(self.limits.keepalive_timeout);
        {
            let driven = std::pin::pin!(http.serve_connection(io, gate));
            self.until_gone(driven, connection).await;
        }
        // What had come before the end is still executed: each stream does that when it is dropped.
        streams.close();
        let _ = tokio::time::timeout(CLOSE_WITHIN, streams.wait()).await;
    }

    async fn until_gone(&self, mut driven: Pin<&mut Http>, connection: &Connection) {
        let mut is_stranger = true;
        let mut deadline = std::pin::pin!(self.clock.sleep(self.limits.pre_auth_deadline));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = driven.as_mut() => return,
                () = connection.until_proven(), if is_stranger => is_stranger = false,
                () = &mut deadline, if is_stranger => return,
                () = connection.until_evicted(), if is_stranger => return,
                () = self.stopped.cancelled() => return,
                () = self.stopping.cancelled(), if !is_stopping => {
                    if !connection.is_proven() {
                        return;
                    }
                    is_stopping = true;
                    driven.as_mut().graceful_shutdown();
                }
                () = connection.until_closing() => {
                    driven.as_mut().graceful_shutdown();
                    break;
                }
                // Its last words may still be on the way: they end with the socket.
                () = connection.process_exit() => break,
            }
        }
        let _ = tokio::time::timeout(CLOSE_WITHIN, driven).await;
    }

    /// The connection is gone. What only it could use ends; what may be resumed waits, unless its process is seen to exit.
    async fn after(&self, connection: &Arc<Connection>) {
        let unary = async {
            if let Some(implicit) = connection.end_implicit() {
                self.table.connection_closed(&implicit, connection.process_exit()).await;
            }
        };
        tokio::join!(unary, self.linger(connection));
    }

    /// Watches the process of what may be resumed.
    async fn linger(&self, connection: &Connection) {
        if !connection.sees_process() {
            return;
        }
        let resumed_or_ended = async {
            while connection.sessions().iter().any(|session| session.was_last_on(connection)) {
                self.clock.sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = connection.process_exit() => self.table.process_exited(connection).await,
            () = resumed_or_ended => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

type Http = http2::Connection<TokioIo<Heard<Stream>>, Gate, Tracked>;

/// Runs the streams of one connection, and knows when all have ended.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Errors that say nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset | Interrupted)
}

/// One in a count, as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
