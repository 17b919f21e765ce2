//! The last messages, for replay. Bounded: the oldest go first.

use super::Published;
use std::{collections::VecDeque, sync::Arc};

/// A ring of messages without gaps: position `floor + 1 + n` stands at `n`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    ring: VecDeque<Arc<Published>>,
    /// The last position that is not kept any more.
    floor: u64,
    bytes: usize,
}

impl Kept {
    /// None, and the next one has the position behind `floor`.
    pub(super) fn after(floor: u64) -> Kept {
        Kept { floor, ..Kept::default() }
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Published>> {
        self.ring.iter()
    }

    /// Those behind a position, of which the ones up to the floor are gone.
    pub(super) fn behind(&self, position: u64) -> impl Iterator<Item = &Arc<Published>> {
        let known = usize::try_from(position.saturating_sub(self.floor)).unwrap_or(usize::MAX);
        self.ring.range(known.min(self.ring.len())..)
    }

    pub(super) fn at(&self, position: u64) -> Option<&Arc<Published>> {
        let index = position.checked_sub(self.floor + 1)?;
        self.ring.get(usize::try_from(index).ok()?)
    }

    /// Takes the message of the next position.
    pub(super) fn push(&mut self, message: Arc<Published>, messages_max: u64, bytes_max: u64) {
        self.bytes += message.said.size;
        self.ring.push_back(message);
        while self.ring.len() as u64 > messages_max || self.bytes as u64 > bytes_max {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.said.size;
            self.floor = oldest.position;
        }
    }

    /// Whether the positions have no gap and end at `position`, and the sum is right.
    pub(super) fn violation(&self, position: u64) -> Option<String> {
        let gapless = self.ring.iter().zip(self.floor + 1..).all(|(message, expected)| message.position == expected);
        if !gapless || self.floor + self.ring.len() as u64 != position {
            return Some(format!("{} kept behind {} do not lead to position {position}", self.ring.len(), self.floor));
        }
        let bytes: usize = self.ring.iter().map(|message| message.said.size).sum();
        (bytes != self.bytes).then(|| format!("{bytes} bytes are kept, counted are {}", self.bytes))
    }
}
