//! One session: its calls, the answers it has not heard yet, and the objects it has touched.
//!
//! ```text
//! call n:  new ─► waiting ─► answered ─► (heard: forgotten)
//!                    │           └ asked again: the same answer again
//!                    └ asked again: still waiting
//! ```

use super::entry::{self, Entry};
use crate::objects::{
    core::CallId,
    host::{Hosted, Inbox},
    kind::{Departure, Moment, SessionId},
};
use bursar_memory::{Scattered, SideSocket};
use bursar_proto::{
    Fault, frame, limits,
    v1::{self, answer::Reply, server_entry},
};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use prost::Message;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// Answers kept for a retry. A client that says what it has heard never comes near; of others the oldest are forgotten.
const ANSWERS_MAX: usize = 4096;
/// Bytes of such answers: two of the largest payloads, which mostly are those of the objects still.
const ANSWERS_BYTES_MAX: usize = 2 * limits::PAYLOAD_BYTES_MAX;
/// Bytes that wait to be sent before a client must read to be served further: enough to keep the largest window full.
const OUTBOX_BYTES_MAX: usize = 4 << 20;

/// Who the client says it is, for operators.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// What it calls itself.
    pub label: String,
    /// Its process.
    pub process: v1::Process,
    /// Where it came from.
    pub peer: String,
    /// It came by a Unix socket from the broker's own user, or from within the broker's process.
    pub is_own_user: bool,
}

/// What carries a session: a connection, as far as a session knows it.
pub trait Link: Send + Sync {
    /// Tells it from all others.
    fn id(&self) -> u64;
    /// When anything was last heard over it.
    fn last_heard(&self) -> Moment;
}

/// The process from which a session comes, as far as a witness knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run of a worker to which it belongs.
    pub run: u64,
    /// Its number.
    pub pid: u32,
}

/// One session.
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// What a client shows to resume it.
    pub token: [u8; 16],
    /// The silence after which it ends.
    pub ttl_ms: u64,
    /// Who it is.
    pub caller: Caller,
    /// When it was opened.
    pub opened: Moment,
    calls_in_flight_max: usize,
    ended: AtomicBool,
    /// Short sections, never across an await. A host may be locked when this lock is asked for, never the other way round.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Grows with every stream that carries this session.
    epoch: u64,
    link: Option<Arc<dyn Link>>,
    /// The connection that carries it, or carried it last.
    last_link: u64,
    origin: Option<Origin>,
    last_heard: Moment,
    last_sequence: u64,
    calls: BTreeMap<u64, Call>,
    waiting: usize,
    answered_bytes: usize,
    /// Where memory is handed over, while this stream carries the session; none where that cannot be.
    side: Option<Arc<SideSocket>>,
    /// Entries that the stream has not taken yet, with the sequence they answer; 0 for others.
    outbox: VecDeque<(u64, Entry)>,
    outbox_bytes: usize,
    /// What is left of the first entry, while it leaves in parts, and the size of all of it.
    left: Option<(Scattered, u64)>,
    /// Beats and notices, which overtake answers.
    urgent: VecDeque<Bytes>,
    waker: Option<Waker>,
    /// Where it may hold or wait for something.
    touched: HashMap<u64, Weak<dyn Hosted>>,
    /// It ended, and this is still to be said.
    farewell: Option<Fault>,
}

struct Call {
    /// `None`: the names, or several objects; or what the answer gave was taken back.
    host: Option<Weak<dyn Hosted>>,
    answer: Progress,
}

enum Progress {
    Waiting { is_cancelled: bool },
    Answered { entry: Entry, is_sent: bool },
}

impl Call {
    fn is_answered(&self) -> bool {
        matches!(self.answer, Progress::Answered { .. })
    }

    fn host(&self) -> Option<Arc<dyn Hosted>> {
        self.host.as_ref().and_then(Weak::upgrade)
    }
}

/// What is to be done with a call that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Begin {
    /// Execute it.
    New,
    /// It was executed before; its answer is on the way, or will be.
    Repeated,
    /// Say this.
    Refused(Fault),
}

/// What one poll of a stream takes along.
pub struct Batch {
    /// Encoded `ServerEntry`.
    pub entries: Vec<Bytes>,
    /// Say goodbye: nothing follows.
    pub farewell: Option<Fault>,
}

impl Session {
    /// A session that nothing carries yet.
    pub fn new(id: SessionId, ttl_ms: u64, caller: Caller, opened: Moment, calls_in_flight_max: usize) -> Session {
        Session {
            id,
            token: bursar_proto::authkey::random(),
            ttl_ms,
            caller,
            opened,
            calls_in_flight_max,
            ended: AtomicBool::new(false),
            state: Mutex::new(State { last_heard: opened, ..State::default() }),
        }
    }

    /// A stream takes over; says the new epoch. Everything unheard that the client does not ask for any more is forgotten.
    pub fn attach(&self, link: Arc<dyn Link>, unheard: Option<&[v1::Range]>, now: Moment) -> u64 {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.last_link = link.id();
        state.link = Some(link);
        state.side = None;
        state.last_heard = now;
        state.clear_outbox();
        if let Some(unheard) = unheard {
            // Sorted and searched: both the ranges and the answers may be many.
            let mut unheard: Vec<_> = unheard.iter().map(|range| (range.first, range.count)).collect();
            unheard.sort_unstable();
            let asked = |sequence: u64| {
                let behind = unheard.partition_point(|(first, _)| *first <= sequence);
                behind > 0 && sequence - unheard[behind - 1].0 < unheard[behind - 1].1
            };
            let unasked = state.calls.iter().filter(|(sequence, call)| call.is_answered() && !asked(**sequence));
            let unasked: Vec<u64> = unasked.map(|(sequence, _)| *sequence).collect();
            state.forget(unasked);
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        state.epoch
    }

    /// The stream of this epoch is gone.
    pub fn detach(&self, epoch: u64) {
        let mut state = self.state.lock();
        if state.epoch == epoch {
            if let Some(link) = state.link.take() {
                state.last_heard = state.last_heard.max(link.last_heard());
            }
            state.side = None;
            state.clear_outbox();
        }
    }

    /// The epoch of the stream that carries the session now, or carried it last.
    pub fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// Whether a stream carries it now.
    pub fn is_live(&self) -> bool {
        self.state.lock().link.is_some()
    }

    /// Whether this connection carries it, or carried it last before it was suspended.
    pub fn was_last_on(&self, link: &dyn Link) -> bool {
        !self.has_ended() && self.state.lock().last_link == link.id()
    }

    /// It is carried by a connection to this process; `None`: nobody knows it.
    pub fn came_from(&self, origin: Option<Origin>) {
        self.state.lock().origin = origin;
    }

    /// The process that carries it, or carried it last, where a witness knows it.
    pub fn origin(&self) -> Option<Origin> {
        self.state.lock().origin
    }

    /// What it holds, in words: `2 items of jobs`.
    pub fn held(&self) -> Vec<String> {
        let touched: Vec<_> = self.state.lock().touched.values().filter_map(Weak::upgrade).collect();
        let held = touched.iter().filter_map(|host| host.held(self.id).map(|what| format!("{what} of {}", host.name())));
        let mut held: Vec<String> = held.collect();
        held.sort_unstable();
        held
    }

    /// Unary calls of this connection use it.
    pub fn attach_unary(&self, link: Arc<dyn Link>) {
        self.state.lock().link = Some(link);
    }

    /// The last moment at which the client certainly lived.
    pub fn last_heard(&self) -> Moment {
        let state = self.state.lock();
        let link = state.link.as_ref().map_or(Moment(0), |link| link.last_heard());
        state.last_heard.max(link)
    }

    /// The broker itself was stalled: nobody could be heard in that time.
    pub fn extend(&self, heard_at_least: Moment) {
        let mut state = self.state.lock();
        state.last_heard = state.last_heard.max(heard_at_least);
    }

    /// Memory can be handed over on this side socket, as long as the stream of this epoch carries the session. False: another one does.
    pub fn use_side_socket(&self, epoch: u64, side: SideSocket) -> bool {
        let mut state = self.state.lock();
        let is_current = state.link.is_some() && state.epoch == epoch;
        if is_current {
            state.side = Some(Arc::new(side));
        }
        is_current
    }

    /// Where the stream of this epoch hands memory over.
    pub fn side(&self, epoch: u64) -> Option<Arc<SideSocket>> {
        let state = self.state.lock();
        state.side.clone().filter(|_| state.epoch == epoch)
    }

    /// Calls that are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.state.lock().waiting
    }

    /// Registers a call, and the host that it goes to: it will be told when the session ends.
    pub fn begin(&self, sequence: u64, host: Option<&Arc<dyn Hosted>>) -> Begin {
        let mut state = self.state.lock();
        if sequence > state.last_sequence {
            if state.waiting >= self.calls_in_flight_max {
                let limit = self.calls_in_flight_max as u64;
                return Begin::Refused(Fault::LimitReached { what: "calls of one session in flight".into(), limit });
            }
            state.last_sequence = sequence;
            state.waiting += 1;
            let place = host.map(Arc::downgrade);
            state.calls.insert(sequence, Call { host: place, answer: Progress::Waiting { is_cancelled: false } });
            host.inspect(|host| state.touch(host));
            return Begin::New;
        }
        match state.calls.get_mut(&sequence).map(|call| &call.answer) {
            Some(Progress::Waiting { .. }) => Begin::Repeated,
            Some(Progress::Answered { entry, .. }) => {
                let entry = entry.clone();
                state.push(sequence, entry);
                Begin::Repeated
            }
            None if sequence == 0 => Begin::Refused(Fault::protocol("a call needs a sequence of 1 or more")),
            None => Begin::Refused(Fault::AnswerForgotten { sequence }),
        }
    }

    /// A unary call goes to this host.
    pub fn touch(&self, host: &Arc<dyn Hosted>) {
        self.state.lock().touch(host);
    }

    /// The client has these answers.
    pub fn heard(&self, range: &v1::Range) {
        let mut state = self.state.lock();
        let end = range.first.saturating_add(range.count);
        let heard = state.calls.range(range.first..end).filter(|(_, call)| call.is_answered());
        let heard: Vec<u64> = heard.map(|(sequence, _)| *sequence).collect();
        state.forget(heard);
    }

    /// The client takes a call back. What was decided already, and not heard, is taken back from it.
    pub fn cancel(&self, sequence: u64) {
        let call = CallId { session: self.id, sequence };
        let mut state = self.state.lock();
        match state.calls.get_mut(&sequence) {
            Some(Call { host: Some(host), answer: Progress::Waiting { is_cancelled } }) => {
                *is_cancelled = true;
                let host = host.upgrade();
                drop(state);
                host.map(|host| host.cancel(call));
            }
            Some(Call { host: host @ Some(_), answer: Progress::Answered { entry, .. } }) => {
                // Once: the next Cancel of this call would take back another level of a reentrant lock.
                let (host, entry) = (host.take().and_then(|host| host.upgrade()), entry.clone());
                drop(state);
                unhear(self.id, host, entry);
            }
            // The names give nothing that could be taken back, and what was taken back is nobody's any more.
            Some(Call { host: None, .. }) | None => {}
        }
    }

    /// Answers a call that was never registered.
    pub fn refuse(&self, sequence: u64, fault: &Fault) {
        let entry = Entry::answer(sequence, v1::Answer { reply: Some(Reply::Fault(fault.into())) });
        self.state.lock().push(sequence, entry);
    }

    /// Something that overtakes answers.
    pub fn notify(&self, entry: server_entry::Entry) {
        let mut state = self.state.lock();
        let entry = v1::ServerEntry { sequence: 0, entry: Some(entry) };
        // Beats answer beats: one that was not even sent yet stands for all.
        if state.urgent.len() < 16 {
            state.urgent.push_back(entry.encode_to_vec().into());
        }
        state.wake();
    }

    /// Whether so much waits to be taken by the client that it should read before it asks for more.
    pub fn is_clogged(&self) -> bool {
        let state = self.state.lock();
        // Never with an empty outbox: then nothing would wake the stream again.
        state.outbox_bytes > OUTBOX_BYTES_MAX
            || state.outbox.len() > ANSWERS_MAX
            || (state.answered_bytes > 2 * ANSWERS_BYTES_MAX && !state.outbox.is_empty())
    }

    /// What fits into one frame, if anything is there; else the waker is kept.
    pub fn take(&self, epoch: u64, waker: &Waker) -> Option<Batch> {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            let farewell = Some(Fault::Superseded { epoch: state.epoch });
            return Some(Batch { entries: vec![], farewell });
        }
        let mut entries: Vec<Bytes> = state.urgent.drain(..).collect();
        let mut bytes = 0;
        while entries.len() < limits::FRAME_ENTRIES_MAX
            && let Some((sequence, next)) = state.outbox.front().cloned()
            && (bytes == 0 || bytes + next.len() <= limits::FRAME_BYTES_MAX)
        {
            let (entry, is_all) = state.cut(sequence, next);
            bytes += entry.len();
            if is_all {
                state.pop();
            }
            if let Some(Call { answer: Progress::Answered { is_sent, .. }, .. }) = state.calls.get_mut(&sequence) {
                *is_sent = true;
            }
            entries.push(entry);
        }
        let farewell = state.farewell.take();
        if entries.is_empty() && farewell.is_none() {
            if state.waker.as_ref().is_none_or(|kept| !kept.will_wake(waker)) {
                state.waker = Some(waker.clone());
            }
            return None;
        }
        state.shed();
        Some(Batch { entries, farewell })
    }

    /// Ends the session, once: false if it had ended before. What it held is given back before this returns.
    pub fn end(&self, how: Departure, reason: &str) -> bool {
        if self.ended.swap(true, Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        state.side = None;
        state.farewell = Some(Fault::SessionEnded { reason: reason.to_owned() });
        state.wake();
        let touched = std::mem::take(&mut state.touched);
        let calls = std::mem::take(&mut state.calls);
        state.waiting = 0;
        drop(state);
        // What never left this process was certainly not heard.
        for call in calls.into_values() {
            let host = call.host();
            if let Progress::Answered { entry, is_sent: false } = call.answer {
                unhear(self.id, host, entry);
            }
        }
        for host in touched.into_values().filter_map(|host| host.upgrade()) {
            host.depart(self.id, how, reason);
        }
        true
    }
}

/// Gives back what an answer gave.
fn unhear(session: SessionId, host: Option<Arc<dyn Hosted>>, entry: Entry) {
    if let (Some(host), Some(reply)) = (host, entry.into_reply()) {
        host.unheard(session, reply);
    }
}

impl Inbox for Session {
    fn deliver(&self, sequence: u64, result: Result<Reply, Fault>) {
        let reply = result.unwrap_or_else(|fault| Reply::Fault((&fault).into()));
        let entry = Entry::answer(sequence, v1::Answer { reply: Some(reply) });
        let mut state = self.state.lock();
        let Some(call) = state.calls.get_mut(&sequence) else { return };
        let Progress::Waiting { is_cancelled } = call.answer else { return };
        call.answer = Progress::Answered { entry: entry.clone(), is_sent: false };
        // The answer and the cancel have crossed.
        let crossed = if is_cancelled { call.host.take().and_then(|host| host.upgrade()) } else { None };
        state.waiting -= 1;
        state.answered_bytes += entry.len();
        state.push(sequence, entry.clone());
        drop(state);
        if crossed.is_some() {
            unhear(self.id, crossed, entry);
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn push(&mut self, sequence: u64, entry: Entry) {
        if self.link.is_none() {
            return; // the client will ask for it when it resumes
        }
        self.outbox_bytes += entry.len();
        self.outbox.push_back((sequence, entry));
        self.wake();
    }

    fn pop(&mut self) {
        if let Some((_, entry)) = self.outbox.pop_front() {
            self.outbox_bytes -= entry.len();
        }
    }

    /// The first entry itself, or its next part if it is too large for a frame; and whether nothing of it is left.
    fn cut(&mut self, id: u64, entry: Entry) -> (Bytes, bool) {
        if self.left.is_none() {
            let (sequence, answer) = match entry {
                Entry::Whole(entry) => return (entry, true),
                Entry::Large { sequence, answer } => (sequence, answer),
            };
            if let Some(mapped) = self.side.as_ref().and_then(|side| entry::mapped(side, sequence, &answer)) {
                return (mapped, true);
            }
            let whole = frame::with_answer(sequence, &answer);
            let total = whole.len() as u64;
            self.left = Some((whole, total));
        }
        let (left, total) = self.left.as_mut().expect("it is set here, if it was not before");
        let data = left.copy_to_bytes(left.len().min(limits::FRAME_BYTES_MAX));
        let part = server_entry::Entry::Part(v1::Part { id, total: *total, data });
        let is_all = left.is_empty();
        if is_all {
            self.left = None;
        }
        (v1::ServerEntry { sequence: 0, entry: Some(part) }.encode_to_vec().into(), is_all)
    }

    /// Nothing is sent any more: there is nobody who would take it.
    fn clear_outbox(&mut self) {
        self.outbox.clear();
        self.urgent.clear();
        (self.outbox_bytes, self.left) = (0, None);
    }

    fn touch(&mut self, host: &Arc<dyn Hosted>) {
        if self.touched.contains_key(&host.epoch()) {
            return;
        }
        // Objects that are gone are swept when their number may have doubled: each is looked at a bounded number of times.
        if self.touched.len() == self.touched.capacity() {
            self.touched.retain(|_, host| host.strong_count() > 0);
        }
        self.touched.insert(host.epoch(), Arc::downgrade(host));
    }

    fn forget(&mut self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            if let Some(Call { answer: Progress::Answered { entry, .. }, .. }) = self.calls.remove(&sequence) {
                self.answered_bytes -= entry.len();
            }
        }
    }

    /// Keeps the memory of answers within its bounds: the oldest that were sent go first. One stays, however large it is.
    fn shed(&mut self) {
        let answers = |state: &State| state.calls.len() - state.waiting;
        while answers(self) > ANSWERS_MAX || (self.answered_bytes > ANSWERS_BYTES_MAX && answers(self) > 1) {
            let is_sent = |call: &Call| matches!(call.answer, Progress::Answered { is_sent: true, .. });
            let oldest = self.calls.iter().find(|(_, call)| is_sent(call));
            let Some(sequence) = oldest.map(|(sequence, _)| *sequence) else { return };
            self.forget([sequence]);
        }
    }
}
