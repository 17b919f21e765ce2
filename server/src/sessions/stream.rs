//! The session stream: one poll reads what has come, executes it, and takes along what may leave.
//!
//! No task and no channel stand between the transport and the objects. Executing a call never waits: what cannot be answered
//! stands in a line of its host, and the answer wakes this stream.

use super::{
    session::{Caller, Session},
    table::Table,
};
use crate::{faults, objects::kind::Departure, transport::Connection};
use bursar_proto::{
    Fault,
    frame::{Assembly, ClientFrame, ServerFrame},
    limits,
    v1::{self, client_entry, server_entry, sessions_server::Sessions},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use prost::Message;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{Request, Response, Status, Streaming};

/// The first frame must come within this time.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Entries executed in one poll, before what they gave is sent and others have their turn.
const ENTRIES_IN_ONE_POLL: usize = 2 * limits::FRAME_ENTRIES_MAX;

/// The service `bursar.v1.Sessions`.
pub struct SessionsService {
    /// All sessions.
    pub table: Arc<Table>,
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    type SessionStream = SessionStream;

    async fn session(&self, request: Request<Streaming<ClientFrame>>) -> Result<Response<SessionStream>, Status> {
        let connection = request.extensions().get::<Arc<Connection>>().cloned().expect("the gate adds the connection");
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(OPEN_WITHIN, inbound.message()).await;
        let frame = match first {
            Ok(Ok(Some(frame))) => frame,
            Ok(Err(status)) => return Err(status),
            Ok(Ok(None)) | Err(_) => return Err(faults::status(&Fault::protocol("expected a frame with Open within 5 s"))),
        };
        SessionStream::open(self.table.clone(), connection, inbound, frame)
            .map(Response::new)
            .map_err(|fault| faults::status(&fault))
    }
}

/// Both directions of one stream.
pub struct SessionStream {
    table: Arc<Table>,
    connection: Arc<Connection>,
    session: Arc<Session>,
    epoch: u64,
    inbound: Streaming<ClientFrame>,
    /// Entries of the last frame that are still to be executed.
    entries: VecDeque<Bytes>,
    assembly: Assembly,
    opened: Option<Bytes>,
    is_over: bool,
}

impl SessionStream {
    fn open(
        table: Arc<Table>,
        connection: Arc<Connection>,
        inbound: Streaming<ClientFrame>,
        frame: ClientFrame,
    ) -> Result<SessionStream, Fault> {
        let mut entries = VecDeque::from(frame.entries);
        let first = entries.pop_front().map(v1::ClientEntry::decode);
        let Some(Ok(v1::ClientEntry { entry: Some(client_entry::Entry::Open(open)), .. })) = first else {
            return Err(Fault::protocol("the first entry of a stream must be Open"));
        };
        let is_resumed = open.session_id != 0;
        let session = match is_resumed {
            true => table.find(open.session_id, &open.token).ok_or(Fault::NoSuchSession {})?,
            false => table.open(Caller::new(&connection, &open), open.ttl_ms)?,
        };
        if is_resumed && open.epoch < session.epoch() {
            // A stream that was opened earlier and arrives late must not push out the one that came after it.
            return Err(Fault::Superseded { epoch: session.epoch() });
        }
        let epoch = session.attach(connection.clone(), is_resumed.then_some(&open.unheard), table.clock.now());
        connection.carries(&session, open.process.as_ref());
        table.attribute(&session, &connection);
        let opened = v1::Opened {
            session_id: session.id.0,
            token: session.token.to_vec().into(),
            epoch,
            ttl_ms: session.ttl_ms,
            resumed: is_resumed,
            limits: Some(table.limits()),
            boot_epoch: table.boot_epoch(),
        };
        let opened = encode(server_entry::Entry::Opened(opened));
        Ok(SessionStream {
            table,
            connection,
            session,
            epoch,
            inbound,
            entries,
            assembly: Assembly::default(),
            opened: Some(opened),
            is_over: false,
        })
    }

    fn frame(&mut self, frame: ClientFrame) -> Result<(), Fault> {
        if self.session.epoch() != self.epoch {
            return Err(Fault::Superseded { epoch: self.session.epoch() });
        }
        self.connection.check_credential()?;
        frame.heard.iter().for_each(|range| self.session.heard(range));
        self.entries.extend(frame.entries);
        Ok(())
    }

    fn entry(&mut self, entry: Bytes) -> Result<(), Fault> {
        let decoded = v1::ClientEntry::decode(entry);
        let v1::ClientEntry { sequence, entry } =
            decoded.map_err(|error| Fault::protocol(format!("an entry that is no ClientEntry: {error}")))?;
        match entry {
            Some(client_entry::Entry::Call(call)) => self.table.call(&self.session, sequence, call.command),
            Some(client_entry::Entry::MappedCall(mapped)) => {
                let call = self.mapped(mapped)?;
                self.table.call(&self.session, sequence, call.command);
            }
            Some(client_entry::Entry::Cancel(cancel)) => self.session.cancel(cancel.sequence),
            Some(client_entry::Entry::Beat(beat)) => self.session.notify(server_entry::Entry::Beat(beat)),
            Some(client_entry::Entry::Close(_)) => {
                self.table.end(&self.session, Departure::Closed, "it was closed by its client");
            }
            Some(client_entry::Entry::Part(part)) => {
                let before = self.assembly.bytes();
                let left = self.connection.parts_budget();
                if !self.assembly.has(part.id) && (left..self.connection.parts_max()).contains(&part.total) {
                    // It may be taken when others have come whole: the client resumes, and sends it again.
                    return Err(Fault::LimitReached { what: "bytes in parts that have not come whole".into(), limit: left });
                }
                let budget = left + before;
                let whole = self.assembly.add(part, budget).map_err(Fault::protocol)?;
                self.connection.account_parts(before, self.assembly.bytes());
                if let Some(whole) = whole {
                    // Parts of parts would be a way around the budget.
                    let nested = matches!(
                        v1::ClientEntry::decode(whole.clone()),
                        Ok(v1::ClientEntry { entry: Some(client_entry::Entry::Part(_)), .. })
                    );
                    return if nested { Err(Fault::protocol("a part within parts")) } else { self.entry(whole) };
                }
            }
            Some(client_entry::Entry::Open(_)) => return Err(Fault::protocol("Open may only be the first entry")),
            // An entry of a newer client: whether it matters, only its answer could tell.
            None => return Err(Fault::UnknownVerb { verb: "an entry of the session stream".into() }),
        }
        Ok(())
    }

    /// A call of which some bytes lie in memory. Whatever is wrong with that memory, it may travel whole.
    fn mapped(&self, mapped: v1::Mapped) -> Result<v1::Call, Fault> {
        let lost = |problem: String| Fault::MemoryLost { problem };
        let side = self.session.side(self.epoch).ok_or_else(|| lost("no side socket is open".into()))?;
        let bytes_max = self.connection.parts_max();
        let call = side.gather(mapped.into(), bytes_max).map_err(|error| lost(error.to_string()))?;
        v1::Call::decode(call).map_err(|error| Fault::protocol(format!("mapped bytes that are no Call: {error}")))
    }

    /// Executes what has come, as long as its answers are taken; an error ends the stream.
    fn poll_inbound(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        for _ in 0..ENTRIES_IN_ONE_POLL {
            if self.session.is_clogged() {
                return Ok(());
            }
            if let Some(entry) = self.entries.pop_front() {
                self.entry(entry)?;
                continue;
            }
            match self.inbound.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(frame))) => self.frame(frame)?,
                Poll::Ready(Some(Err(status))) => return Err(Fault::protocol(status.message())),
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
        // More may be there: this task is polled again after others had their turn.
        context.waker().wake_by_ref();
        Ok(())
    }

    fn goodbye(&mut self, fault: &Fault, mut entries: Vec<Bytes>) -> ServerFrame {
        self.is_over = true;
        entries.push(encode(server_entry::Entry::Ended(fault.into())));
        ServerFrame { entries }
    }
}

impl Stream for SessionStream {
    type Item = Result<ServerFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(opened) = this.opened.take() {
            return Poll::Ready(Some(Ok(ServerFrame { entries: vec![opened] })));
        }
        if let Err(fault) = this.poll_inbound(context) {
            tracing::debug!(session = this.session.id.0, %fault, "the stream ends");
            return Poll::Ready(Some(Ok(this.goodbye(&fault, vec![]))));
        }
        match this.session.take(this.epoch, context.waker()) {
            Some(batch) => Poll::Ready(Some(Ok(match batch.farewell {
                Some(fault) => this.goodbye(&fault, batch.entries),
                None => ServerFrame { entries: batch.entries },
            }))),
            None if this.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        // What came before the connection broke is still executed, as far as its answers can be kept.
        let mut context = Context::from_waker(std::task::Waker::noop());
        while !self.is_over && !self.session.is_clogged() {
            let result = match self.entries.pop_front() {
                Some(entry) => self.entry(entry),
                None => match self.inbound.poll_next_unpin(&mut context) {
                    Poll::Ready(Some(Ok(frame))) => self.frame(frame),
                    _ => break,
                },
            };
            self.is_over = result.is_err();
        }
        self.connection.account_parts(self.assembly.bytes(), 0);
        self.session.detach(self.epoch);
    }
}

/// Longest text that a client may say of itself; it is kept as long as its session.
const WORDS_BYTES_MAX: usize = 255;

fn shortened(mut text: String) -> String {
    let mut end = text.len().min(WORDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.shrink_to_fit();
    text
}

impl Caller {
    fn new(connection: &Connection, open: &v1::Open) -> Caller {
        let v1::Process { pid, start_ticks, boot_id, pid_namespace, host } = open.process.clone().unwrap_or_default();
        let [boot_id, pid_namespace, host] = [boot_id, pid_namespace, host].map(shortened);
        let process = v1::Process { pid, start_ticks, boot_id, pid_namespace, host };
        let (peer, is_own_user) = (connection.peer.to_string(), connection.peer.is_own_user());
        Caller { label: shortened(open.label.clone()), process, peer, is_own_user }
    }
}

fn encode(entry: server_entry::Entry) -> Bytes {
    v1::ServerEntry { sequence: 0, entry: Some(entry) }.encode_to_vec().into()
}
