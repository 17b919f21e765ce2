//! What is to be said to the broker, and what it has not answered yet. Pure: no clock, no I/O, no runtime.
//!
//! ```text
//!              send             next_frame             answer              heard
//!   (new call) ───► unsent ───────────────► in flight ───────► answered ───────► (gone; the broker may forget the answer)
//!                     ▲ │ cancel              │ │ cancel          │ cancel
//!            begin    │ └──► (gone)           │ └─► cancelled ◄───┘
//!      (reconnected)  └───────────────────────┘        └─ a beat behind the Cancel was answered ──► (gone, heard)
//! ```
//!
//! An answer counts as heard only when the caller has taken it: until then the broker can take back what it gave. A Cancel may
//! get lost with a connection, so a cancelled call is remembered until a later beat proves that the Cancel has arrived.

mod entry;
mod frame;
#[cfg(test)]
mod tests;

pub(crate) use entry::Unsent;
pub(super) use frame::Limits;

use crate::error::SessionEnded;
use bursar_memory::Scattered;
use bursar_proto::{
    frame::ClientFrame,
    v1::{self, client_entry},
};
use bytes::{Buf, Bytes};
use entry::{Entry, Leaving};
use frame::{Frame, encode, ranges};
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    task::Waker,
    time::Instant,
};
use tokio::sync::oneshot;

/// What a call gets: its encoded `Answer`, or the end of the session.
pub(crate) type Reply = Result<Scattered, SessionEnded>;

/// This many heard answers, or answers of this many bytes, are reported though there is nothing else to say.
const HEARD_MAX: usize = 256;
const HEARD_BYTES_MAX: usize = 256 << 10;
/// This many cancelled calls are confirmed by an extra beat.
const CANCELLED_MAX: usize = 1024;

pub(super) struct Outbox {
    next_sequence: u64,
    /// Calls from `send` until they are heard.
    calls: BTreeMap<u64, Call>,
    /// What is to be sent, oldest first; cancelled ones are skipped when their turn comes.
    unsent: VecDeque<u64>,
    /// The large entry that is being sent in parts.
    cutting: Option<Cut>,
    /// Encoded entries that go in front: the Open, beats and Cancels.
    urgent: VecDeque<Bytes>,
    cancelled: BTreeMap<u64, Cancelled>,
    heard: Vec<u64>,
    heard_bytes: usize,
    /// Calls that the broker has on this connection and has not answered.
    in_flight: usize,
    /// Counts connections, so that the stream of an earlier one takes nothing any more.
    generation: u64,
    /// The broker has answered this connection's Open.
    open: bool,
    next_beat: u64,
    /// Beats without an answer: number and moment of sending.
    beats: VecDeque<(u64, Instant)>,
    limits: Limits,
    closing: bool,
    close_sent: bool,
    ended: Option<SessionEnded>,
    waker: Option<Waker>,
}

struct Call {
    /// Empty once it is answered.
    entry: Entry,
    /// None: nobody waits for the answer.
    sender: Option<oneshot::Sender<Reply>>,
    /// The broker may have it, from this connection or an earlier one.
    sent: bool,
    /// Size of the answer that the caller has not taken yet.
    answered: Option<usize>,
}

struct Cancelled {
    /// Once this beat is answered, the Cancel has arrived.
    beat: u64,
    confirmed: bool,
    answered: bool,
}

struct Cut {
    sequence: u64,
    total: usize,
    left: Scattered,
}

impl Outbox {
    pub fn new() -> Outbox {
        Outbox {
            next_sequence: 1,
            calls: BTreeMap::new(),
            unsent: VecDeque::new(),
            cutting: None,
            urgent: VecDeque::new(),
            cancelled: BTreeMap::new(),
            heard: Vec::new(),
            heard_bytes: 0,
            in_flight: 0,
            generation: 0,
            open: false,
            next_beat: 1,
            beats: VecDeque::new(),
            limits: Limits::default(),
            closing: false,
            close_sent: false,
            ended: None,
            waker: None,
        }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Every call was answered, and its caller has the answer.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The number of the connection of now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn is_closing(&self) -> bool {
        self.closing
    }

    // What callers do.

    /// Takes a call.
    pub fn send(&mut self, entry: Unsent, sender: Option<oneshot::Sender<Reply>>) -> Result<u64, SessionEnded> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        if self.closing {
            return Err(SessionEnded::closed());
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.calls.insert(sequence, Call { entry: entry.numbered(sequence), sender, sent: false, answered: None });
        self.unsent.push_back(sequence);
        Ok(sequence)
    }

    /// The caller has the answer.
    pub fn heard(&mut self, sequence: u64) {
        let Some(call) = self.calls.remove(&sequence) else { return };
        self.heard.push(sequence);
        self.heard_bytes += call.answered.unwrap_or(0);
    }

    /// The caller is gone, before its call was answered or before it took the answer.
    pub fn cancel(&mut self, sequence: u64) {
        let Some(call) = self.calls.remove(&sequence) else { return };
        if !call.sent {
            return;
        }
        let being_cut = self.cutting.as_ref().is_some_and(|cut| cut.sequence == sequence);
        let cancelled = Cancelled { beat: self.next_beat, confirmed: false, answered: call.answered.is_some() };
        self.cancelled.insert(sequence, cancelled);
        if self.open && !being_cut {
            self.urgent.push_back(encode(client_entry::Entry::Cancel(v1::Cancel { sequence })));
        }
    }

    /// The caller is gone, and its call stands: nobody waits for the answer.
    pub fn forget(&mut self, sequence: u64) {
        let Some(call) = self.calls.get_mut(&sequence) else { return };
        call.sender = None;
        if call.answered.is_some() {
            self.heard(sequence);
        }
    }

    /// Nothing more is taken; the Close goes out behind what is here.
    pub fn close(&mut self) {
        self.closing = true;
    }

    // What the session does.

    /// A new connection: gives its number, and what its Open says. Calls wait until the Open is answered.
    pub fn begin(&mut self) -> (u64, Vec<v1::Range>) {
        self.generation += 1;
        self.disconnect();
        self.unsent = self.calls.iter().filter(|(_, call)| call.answered.is_none()).map(|(sequence, _)| *sequence).collect();
        let sent = self.calls.iter().filter(|(_, call)| call.sent).map(|(sequence, _)| *sequence);
        (self.generation, ranges(sent.chain(self.cancelled.keys().copied()).collect()))
    }

    /// The connection is gone; nothing is taken by its stream any more.
    pub fn disconnect(&mut self) {
        self.open = false;
        self.close_sent = false;
        self.in_flight = 0;
        self.cutting = None;
        self.urgent.clear();
        self.beats.clear();
        // The next Open says what is still waited for; all else counts as heard.
        self.heard.clear();
        self.heard_bytes = 0;
    }

    pub fn push_open(&mut self, open: v1::Open) {
        self.urgent.push_back(encode(client_entry::Entry::Open(open)));
    }

    /// The Open is answered.
    pub fn opened(&mut self, limits: Limits) {
        self.limits = limits;
        self.open = true;
        for (sequence, cancelled) in &mut self.cancelled {
            // Whether the broker ever had the call is unknown, so that no answer may come.
            *cancelled = Cancelled { beat: self.next_beat, confirmed: false, answered: true };
            self.urgent.push_back(encode(client_entry::Entry::Cancel(v1::Cancel { sequence: *sequence })));
        }
    }

    pub fn beat(&mut self, now: Instant) {
        let number = self.next_beat;
        self.next_beat += 1;
        self.beats.push_back((number, now));
        self.urgent.push_back(encode(client_entry::Entry::Beat(v1::Beat { number })));
    }

    /// The broker answered a beat: gives the moment when it was sent.
    pub fn beat_answered(&mut self, number: u64) -> Option<Instant> {
        let mut sent = None;
        while let Some((first, at)) = self.beats.front().copied()
            && first <= number
        {
            sent = Some(at);
            self.beats.pop_front();
        }
        for (_, cancelled) in self.cancelled.iter_mut().filter(|(_, cancelled)| cancelled.beat <= number) {
            cancelled.confirmed = true;
        }
        let heard = &mut self.heard;
        self.cancelled.retain(|sequence, cancelled| {
            let over = cancelled.confirmed && cancelled.answered;
            heard.extend(over.then_some(*sequence));
            !over
        });
        sent
    }

    /// Whether enough is cancelled that a beat should confirm it.
    pub fn wants_beat(&self) -> bool {
        self.beats.is_empty() && self.cancelled.len() >= CANCELLED_MAX
    }

    pub fn has_unanswered_beat(&self) -> bool {
        !self.beats.is_empty()
    }

    /// An answer of so many bytes came: gives who waits for it.
    pub fn answer(&mut self, sequence: u64, bytes: usize) -> Option<oneshot::Sender<Reply>> {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(call) = self.calls.get_mut(&sequence) {
            if call.answered.is_some() {
                return None; // a second answer after a resume: the first one is on its way to the caller
            }
            call.answered = Some(bytes);
            call.entry = Entry::Whole(Bytes::new());
            let sender = call.sender.take();
            if sender.is_none() {
                self.heard(sequence);
            }
            return sender;
        }
        if let Some(cancelled) = self.cancelled.get_mut(&sequence) {
            cancelled.answered = true;
            if cancelled.confirmed {
                self.cancelled.remove(&sequence);
                self.heard.push(sequence);
            }
        }
        None
    }

    /// The session is over: gives everybody who waits, with what to tell them.
    pub fn end(&mut self, ended: SessionEnded) -> Vec<(oneshot::Sender<Reply>, SessionEnded)> {
        if self.ended.is_some() {
            return Vec::new();
        }
        self.disconnect();
        self.unsent.clear();
        self.cancelled.clear();
        self.ended = Some(SessionEnded { may_have_happened: false, ..ended.clone() });
        let told = |call: Call| {
            let ended = SessionEnded { may_have_happened: call.sent, ..ended.clone() };
            call.sender.map(|sender| (sender, ended))
        };
        mem::take(&mut self.calls).into_values().filter_map(told).collect()
    }

    // What the stream takes.

    /// The next frame for the connection of this number; `Err`: nothing ever again.
    pub fn next_frame(&mut self, generation: u64) -> Result<Option<ClientFrame>, ()> {
        if generation != self.generation || self.ended.is_some() {
            return Err(());
        }
        let mut frame = Frame::default();
        self.take_urgent(&mut frame);
        if self.open {
            self.take_part(&mut frame);
            self.take_calls(&mut frame);
            self.take_close(&mut frame);
        }
        if !frame.entries.is_empty() || self.heard_is_much() {
            self.heard_bytes = 0;
            let heard = ranges(mem::take(&mut self.heard));
            return Ok(Some(ClientFrame { entries: frame.entries, heard }));
        }
        if self.close_sent { Err(()) } else { Ok(None) }
    }

    fn heard_is_much(&self) -> bool {
        self.open && (self.heard.len() >= HEARD_MAX || self.heard_bytes >= HEARD_BYTES_MAX)
    }

    fn take_urgent(&mut self, frame: &mut Frame) {
        while frame.entries.len() < self.limits.entries_max
            && let Some(entry) = self.urgent.pop_front()
        {
            frame.push(entry);
        }
    }

    /// A piece of the entry that is too large for one frame. No call overtakes another, so the rest waits for its end.
    fn take_part(&mut self, frame: &mut Frame) {
        let Some(cut) = &mut self.cutting else { return };
        let data = cut.left.copy_to_bytes(cut.left.len().min(self.limits.frame_bytes_max));
        let id = cut.sequence;
        frame.push(encode(client_entry::Entry::Part(v1::Part { id, total: cut.total as u64, data })));
        if !cut.left.is_empty() {
            return;
        }
        self.cutting = None;
        if let Some(cancelled) = self.cancelled.get_mut(&id) {
            cancelled.beat = self.next_beat;
            cancelled.confirmed = false;
            self.urgent.push_back(encode(client_entry::Entry::Cancel(v1::Cancel { sequence: id })));
        }
    }

    fn take_calls(&mut self, frame: &mut Frame) {
        while self.cutting.is_none()
            && frame.entries.len() < self.limits.entries_max
            && self.in_flight < self.limits.in_flight_max
            && let Some(sequence) = self.unsent.front().copied()
        {
            // Of one that was sent before, the answer may have come by itself.
            let Some(call) = self.calls.get_mut(&sequence).filter(|call| call.answered.is_none()) else {
                self.unsent.pop_front();
                continue;
            };
            let leaving = call.entry.leaving(self.generation, self.limits.frame_bytes_max);
            if let Leaving::InFrame(entry) = &leaving
                && frame.bytes + entry.len() > self.limits.frame_bytes_max
            {
                return;
            }
            self.unsent.pop_front();
            self.in_flight += 1;
            call.sent = true;
            match leaving {
                Leaving::InFrame(entry) => frame.push(entry),
                Leaving::InParts(whole) => self.cutting = Some(Cut { sequence, total: whole.len(), left: whole }),
            }
        }
        if frame.entries.is_empty() {
            self.take_part(frame);
        }
    }

    fn take_close(&mut self, frame: &mut Frame) {
        if self.closing && !self.close_sent && self.unsent.is_empty() && self.cutting.is_none() {
            self.close_sent = true;
            frame.push(encode(client_entry::Entry::Close(v1::Close {})));
        }
    }

    /// Who is to be woken after a change, if there is anything for the stream to take.
    pub fn waker(&mut self) -> Option<Waker> {
        let calls = self.cutting.is_some() || (!self.unsent.is_empty() && self.in_flight < self.limits.in_flight_max);
        let close = self.closing && !self.close_sent;
        let over = self.ended.is_some();
        let due = over || !self.urgent.is_empty() || self.heard_is_much() || (self.open && (calls || close));
        if due { self.waker.take() } else { None }
    }

    pub fn set_waker(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}
