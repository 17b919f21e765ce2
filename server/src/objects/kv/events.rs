//! The last changes, for watchers that are not quite up to date. Bounded: the oldest go first, and whoever needed them is told.

use super::{Cause, Event, Key, Moment, Stored};
use std::collections::VecDeque;

/// The bytes that all kept events of one map may hold: four values of the largest size, or some hundred thousand small ones.
const BYTES_MAX: usize = 64 << 20;

/// One change of one key, as it is kept.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) revision: u64,
    pub(super) key: Key,
    /// What the key became; `None`: absent.
    pub(super) stored: Option<Stored>,
    pub(super) cause: Cause,
}

impl Happened {
    /// How a watcher sees it now.
    pub(super) fn event(&self, now: Moment) -> Event {
        let entry = self.stored.as_ref().map(|stored| stored.entry(&self.key, now));
        Event { revision: self.revision, key: self.key.clone(), entry, cause: self.cause }
    }

    /// Key and value.
    pub(super) fn payload(&self) -> usize {
        self.key.len() + self.stored.as_ref().map_or(0, |stored| stored.value.data.len())
    }

    /// With what it costs beside its payload, so that many small events are bounded as well.
    fn cost(&self) -> usize {
        size_of::<Happened>() + self.payload()
    }
}

/// A ring of events without gaps: the one after revision `floor + n` stands at `n`, so finding it takes one step.
#[derive(Debug)]
pub(super) struct Events {
    ring: VecDeque<Happened>,
    /// The last revision whose event is not kept any more.
    floor: u64,
    /// The sum of the costs.
    bytes: usize,
    max: usize,
}

impl Events {
    pub(super) fn new(max: usize) -> Events {
        Events { ring: VecDeque::new(), floor: 0, bytes: 0, max }
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The last revision whose event is not kept any more: whoever knows less has missed something.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Happened> {
        self.ring.iter()
    }

    /// The events behind `revision`; `None` if some of them are not kept.
    pub(super) fn after(&self, revision: u64) -> Option<impl Iterator<Item = &Happened>> {
        let known = usize::try_from(revision.checked_sub(self.floor)?).unwrap_or(usize::MAX);
        Some(self.ring.range(known.min(self.ring.len())..))
    }

    /// Takes the event of the next revision.
    pub(super) fn push(&mut self, happened: Happened) {
        self.bytes += happened.cost();
        self.ring.push_back(happened);
        while self.ring.len() > self.max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.cost();
            self.floor = oldest.revision;
        }
    }

    /// Keeps nothing: what led to `revision` is not known.
    pub(super) fn forget(&mut self, revision: u64) {
        self.ring.clear();
        self.bytes = 0;
        self.floor = revision;
    }

    /// Whether the events have no gap, end at `revision`, and are within their bounds.
    pub(super) fn violation(&self, revision: u64) -> Option<String> {
        let gapless = self.ring.iter().zip(self.floor + 1..).all(|(event, expected)| event.revision == expected);
        if !gapless || self.floor + self.ring.len() as u64 != revision {
            return Some(format!("the {} events after {} do not lead to revision {revision}", self.ring.len(), self.floor));
        }
        let bytes: usize = self.ring.iter().map(Happened::cost).sum();
        (bytes != self.bytes || bytes > BYTES_MAX || self.ring.len() > self.max)
            .then(|| format!("{} events of {bytes} bytes, counted are {}", self.ring.len(), self.bytes))
    }
}
