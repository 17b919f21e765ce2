//! The session's own thread: connects, opens, beats, listens, resumes, and ends.

use super::{Session, side};
use crate::{
    Error, Manager, Result,
    connect::{Connection, Owned, Prover, Target, describe, fault_of, was_turned_away},
    error::SessionEnded,
};
use bursar_memory::Scattered;
use bursar_proto::{
    AuthKey, Fault,
    frame::{Assembly, ServerFrame},
    v1,
};
use bytes::Bytes;
use prost::Message;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tonic::{Status, Streaming};

/// First and longest pause between two attempts to connect; the pause is drawn between zero and the current one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often a client looks, while its broker is about to stop, whether it is done with everything.
const LEAVE_LOOK: Duration = Duration::from_millis(25);
/// How long the end of a closed session is waited for.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Large answers that may be under way in parts at one time.
const ASSEMBLY_BYTES_MAX: u64 = 256 << 20;

/// What a session is started with.
pub(crate) struct Config {
    pub target: Target,
    pub authkey: AuthKey,
    pub label: String,
    pub ttl: Option<Duration>,
    pub connect_timeout: Duration,
}

/// Starts the thread; the first connection's outcome comes through the channel.
pub(crate) fn start(config: Config) -> Result<oneshot::Receiver<Result<Manager>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("bursar-session".to_owned())
        .spawn(move || runtime.block_on(run(config, sender)))
        .map_err(Error::Thread)?;
    Ok(receiver)
}

/// Whatever ends the thread, a panic included, nobody is left waiting.
struct EndGuard(Arc<Session>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(SessionEnded::new("its thread ended unexpectedly"));
    }
}

async fn run(config: Config, ready: oneshot::Sender<Result<Manager>>) {
    let session = Arc::new(Session::new());
    let _guard = EndGuard(session.clone());
    let mut live = match begin(&session, &config).await {
        Ok(live) => live,
        Err(error) => {
            // A caller that has gone away does not need to know.
            let _ = ready.send(Err(error));
            return;
        }
    };
    // If the caller has gone away, the Manager is dropped right here and closes the session.
    let _ = ready.send(Ok(Manager::new(session.clone(), &config)));
    let ended = loop {
        if let Some(hello) = session.hello() {
            session.use_side_socket(side::open(&config.target, &hello).await);
        }
        let why = match live.serve(&session).await {
            End::Over(ended) => break ended,
            End::Disconnected(why) => why,
            End::MemoryLost(why) => {
                session.give_up_side_socket();
                why
            }
        };
        if session.is_closing() {
            break SessionEnded::closed();
        }
        tracing::info!(%why, target = %config.target, "connection lost: resuming the session");
        drop(live);
        session.suspend();
        live = match resume(&session, &config, why).await {
            Ok(live) => live,
            Err(ended) => break ended,
        };
    };
    session.end(if session.is_closing() { SessionEnded::closed() } else { ended });
}

/// How a connection ended.
enum End {
    Disconnected(String),
    /// As that; and memory did not arrive, here or there.
    MemoryLost(String),
    Over(SessionEnded),
}

impl From<Error> for End {
    /// What is certain to go wrong again ends the session; everything else is tried again.
    fn from(error: Error) -> End {
        if let Some(fault @ Fault::MemoryLost { .. }) = error.fault() {
            return End::MemoryLost(fault.to_string());
        }
        let over = match &error {
            Error::WrongKey { .. } => true,
            Error::Fault(refusal) => is_final(&refusal.fault),
            Error::Protocol { .. } => true,
            _ => false,
        };
        let reason = match error {
            Error::Fault(refusal) => match refusal.fault {
                Fault::SessionEnded { reason } => reason,
                fault => fault.to_string(),
            },
            error => error.to_string(),
        };
        if over { End::Over(SessionEnded::new(reason)) } else { End::Disconnected(reason) }
    }
}

/// Faults that end the session for this client; after others another handshake or a later attempt may help.
fn is_final(fault: &Fault) -> bool {
    use Fault::*;
    matches!(
        fault,
        NoSuchSession {}
            | SessionEnded { .. }
            | Superseded { .. }
            | Protocol { .. }
            | BadArgument { .. }
            | UnknownVerb { .. }
            | Deposed {}
    )
}

/// The first connection. Where nobody listens it fails at once; but a broker in a crowd may turn this one away, and not the next.
async fn begin(session: &Arc<Session>, config: &Config) -> Result<Live> {
    let deadline = Instant::now() + config.connect_timeout;
    let mut backoff = BACKOFF_MIN;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match establish(session, config, left).await {
            Err(error) if was_turned_away(&error) => error,
            outcome => return outcome,
        };
        let pause = backoff.mul_f64(fastrand::f64());
        backoff = BACKOFF_MAX.min(backoff * 2);
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        sleep(pause).await;
    }
}

/// Tries until the session would be over anyway.
async fn resume(session: &Arc<Session>, config: &Config, mut why: String) -> Result<Live, SessionEnded> {
    let mut backoff = BACKOFF_MIN;
    loop {
        let pause = backoff.mul_f64(fastrand::f64());
        backoff = BACKOFF_MAX.min(backoff * 2);
        let left = session.valid_until().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SessionEnded::new(format!("no connection to {} in time: {why}", config.target)));
        }
        tokio::select! {
            () = sleep(pause.min(left)) => {}
            () = session.closing.notified() => return Err(SessionEnded::closed()),
        }
        let error = match establish(session, config, config.connect_timeout.min(left)).await {
            Ok(live) => return Ok(live),
            Err(error) => error,
        };
        if let Some(Fault::Superseded { epoch }) = error.fault()
            && session.adopt_epoch(*epoch)
        {
            continue;
        }
        match End::from(error) {
            End::Over(ended) => return Err(ended),
            End::Disconnected(again) | End::MemoryLost(again) => why = again,
        }
    }
}

async fn establish(session: &Arc<Session>, config: &Config, within: Duration) -> Result<Live> {
    match timeout(within, Live::open(session, config)).await {
        Ok(result) => result,
        Err(_) => Err(config.target.timed_out(within)),
    }
}

/// A connection with an open session stream.
struct Live {
    inbound: Streaming<ServerFrame>,
    /// What came in one frame with the Opened.
    early: Option<ServerFrame>,
    assembly: Assembly,
    ttl: Duration,
    /// The broker is about to stop: how often the program was seen with nothing to finish, one time after the other.
    leaving: Option<u32>,
    /// When the broker was last heard.
    heard_at: Instant,
    _renewal: Owned,
    _connection: Connection,
}

impl Live {
    async fn open(session: &Arc<Session>, config: &Config) -> Result<Live> {
        let connection = Connection::open(&config.target).await?;
        let mut prover = connection.prover(&config.authkey);
        let credential = prover.shake_hands().await?;
        let asked = Instant::now();
        let mut request = tonic::Request::new(session.begin(config));
        credential.attach(&mut request);
        let refused = |status: Status| match fault_of(&status) {
            Some(fault) => Error::refused(fault, "connect", ""),
            None => config.target.unreachable(std::io::Error::other(describe(&status))),
        };
        let mut inbound = connection.sessions().session(request).await.map_err(refused)?.into_inner();
        let first = inbound.message().await.map_err(refused)?;
        let (opened, early) = read_opened(first, session.id() != 0)?;
        let ttl = session.opened(opened, asked);
        Ok(Live {
            inbound,
            early,
            assembly: Assembly::default(),
            ttl,
            leaving: None,
            heard_at: Instant::now(),
            _renewal: Owned::spawn(renew(prover, credential.expires_in)),
            _connection: connection,
        })
    }

    /// Until the connection or the session ends.
    async fn serve(&mut self, session: &Session) -> End {
        let mut beats = interval(self.ttl / 4);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closed = async {
            session.closing.notified().await;
            sleep(CLOSE_GRACE).await;
        };
        tokio::pin!(closed);
        if let Some(early) = self.early.take()
            && let Err(end) = self.receive(session, Ok(Some(early)))
        {
            return end;
        }
        loop {
            tokio::select! {
                frame = self.inbound.message() => match self.receive(session, frame) {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                _ = beats.tick() => {
                    if let Some(silence) = self.silence(session) {
                        return End::Disconnected(format!("the broker has been silent for {silence:?}"));
                    }
                    session.change(|outbox| outbox.beat(Instant::now()));
                }
                () = sleep(LEAVE_LOOK), if self.leaving.is_some() => {
                    if self.may_leave(session) {
                        return End::Disconnected("the broker is about to stop".to_owned());
                    }
                }
                () = &mut closed => return End::Over(SessionEnded::closed()),
            }
        }
    }

    /// Whether the broker needs to wait no more for this client. Looked at twice, because an answer that its caller has just taken
    /// may be a lease in a moment.
    fn may_leave(&mut self, session: &Session) -> bool {
        let Some(looks) = &mut self.leaving else { return false };
        *looks = if session.is_idle() { *looks + 1 } else { 0 };
        *looks >= 2
    }

    /// A beat is unanswered, and nothing else came either: better a new connection while there is time for one.
    fn silence(&self, session: &Session) -> Option<Duration> {
        let silence = self.heard_at.elapsed();
        (silence > self.ttl / 2 && session.outbox.lock().has_unanswered_beat()).then_some(silence)
    }

    fn receive(&mut self, session: &Session, frame: Result<Option<ServerFrame>, Status>) -> Result<(), End> {
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(End::Disconnected("the broker ended the stream".to_owned())),
            Err(status) => {
                return Err(match fault_of(&status) {
                    Some(fault) => Error::refused(fault, "session", "").into(),
                    None => End::Disconnected(describe(&status)),
                });
            }
        };
        self.heard_at = Instant::now();
        let mut answers = Vec::with_capacity(frame.entries.len());
        let read = frame.entries.into_iter().try_for_each(|entry| self.read(session, entry, &mut answers));
        session.deliver(answers);
        if session.outbox.lock().wants_beat() {
            session.change(|outbox| outbox.beat(Instant::now()));
        }
        read
    }

    fn read(&mut self, session: &Session, entry: Bytes, answers: &mut Vec<(u64, Scattered)>) -> Result<(), End> {
        let entry = Entry::decode(entry).map_err(|error| End::from(Error::protocol(error.to_string())))?;
        let Entry { sequence, opened: _, answer, beat, part, going_away, ended, mapped_answer } = entry;
        if let Some(answer) = answer {
            answers.push((sequence, answer.into()));
        }
        if let Some(mapped) = mapped_answer {
            answers.push((sequence, session.gather(mapped).map_err(End::from)?));
        }
        if let Some(beat) = beat
            && let Some(sent_at) = session.change(|outbox| outbox.beat_answered(beat.number))
        {
            session.extend(sent_at + self.ttl);
        }
        if let Some(v1::GoingAway { grace_ms }) = going_away {
            tracing::info!(grace_ms, "the broker is about to stop");
            self.leaving = self.leaving.or(Some(0));
        }
        if let Some(ended) = ended {
            // Not every reason is the session's end: an expired credential, say, asks for another handshake only.
            return Err(Error::refused(ended, "session", "").into());
        }
        let Some(part) = part else { return Ok(()) };
        match self.assembly.add(part, ASSEMBLY_BYTES_MAX) {
            Ok(Some(whole)) => self.read(session, whole, answers),
            Ok(None) => Ok(()),
            Err(problem) => Err(Error::protocol(problem).into()),
        }
    }
}

/// `v1::ServerEntry` with its answer left encoded, for the thread that waits for it. On the wire both are the same.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(message, optional, tag = "2")]
    opened: Option<v1::Opened>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    answer: Option<Bytes>,
    #[prost(message, optional, tag = "4")]
    beat: Option<v1::Beat>,
    #[prost(message, optional, tag = "5")]
    part: Option<v1::Part>,
    #[prost(message, optional, tag = "6")]
    going_away: Option<v1::GoingAway>,
    #[prost(message, optional, tag = "7")]
    ended: Option<v1::Fault>,
    #[prost(message, optional, tag = "8")]
    mapped_answer: Option<v1::Mapped>,
}

/// Reads the first frame of a stream; the rest of it is for later.
fn read_opened(frame: Option<ServerFrame>, resuming: bool) -> Result<(v1::Opened, Option<ServerFrame>)> {
    let mut frame = frame.ok_or_else(|| Error::protocol("the session stream ended before it began"))?;
    if frame.entries.is_empty() {
        return Err(Error::protocol("the first frame is empty, expected Opened"));
    }
    let entry = Entry::decode(frame.entries.remove(0)).map_err(|error| Error::protocol(error.to_string()))?;
    if let Some(fault) = entry.ended {
        return Err(Error::refused(fault, "connect", ""));
    }
    let opened = entry.opened.ok_or_else(|| Error::protocol("the first entry is not Opened"))?;
    if resuming && !opened.resumed {
        return Err(Error::refused(Fault::NoSuchSession {}, "connect", ""));
    }
    Ok((opened, (!frame.entries.is_empty()).then_some(frame)))
}

/// Renews the credential in place at half of its life. If that fails, the broker ends the stream in its time.
async fn renew(mut prover: Prover, mut expires_in: Duration) {
    while !expires_in.is_zero() {
        sleep(expires_in / 2).await;
        expires_in = match prover.shake_hands().await {
            Ok(credential) => credential.expires_in,
            Err(error) => {
                tracing::warn!(%error, "the credential could not be renewed");
                return;
            }
        };
    }
}
