//! What a frame is made of, and what bounds it.

use bursar_proto::{
    frame::add_to_ranges,
    limits,
    v1::{self, client_entry::Entry},
};
use bytes::Bytes;
use prost::Message;

/// What the broker takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Limits {
    pub frame_bytes_max: usize,
    pub entries_max: usize,
    pub payload_bytes_max: u64,
    pub in_flight_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            entries_max: limits::FRAME_ENTRIES_MAX,
            payload_bytes_max: limits::PAYLOAD_BYTES_MAX as u64,
            in_flight_max: limits::CALLS_IN_FLIGHT_MAX,
        }
    }
}

impl Limits {
    /// The broker's ruling; zero stands for the default, and what this side sets for itself is not exceeded.
    pub fn ruled(limits: Option<v1::Limits>) -> Limits {
        let v1::Limits { frame_bytes_max, entries_max, payload_bytes_max, calls_in_flight_max } = limits.unwrap_or_default();
        let own = Limits::default();
        let least = |ruled: u64, own: usize| if ruled == 0 { own } else { own.min(ruled as usize) };
        Limits {
            frame_bytes_max: least(frame_bytes_max, own.frame_bytes_max),
            entries_max: least(entries_max, own.entries_max),
            payload_bytes_max: if payload_bytes_max == 0 { own.payload_bytes_max } else { payload_bytes_max },
            in_flight_max: least(calls_in_flight_max, own.in_flight_max),
        }
    }
}

#[derive(Default)]
pub(super) struct Frame {
    pub entries: Vec<Bytes>,
    pub bytes: usize,
}

impl Frame {
    pub fn push(&mut self, entry: Bytes) {
        self.bytes += entry.len();
        self.entries.push(entry);
    }
}

pub(super) fn encode(entry: Entry) -> Bytes {
    v1::ClientEntry { sequence: 0, entry: Some(entry) }.encode_to_vec().into()
}

pub(super) fn ranges(mut sequences: Vec<u64>) -> Vec<v1::Range> {
    sequences.sort_unstable();
    let mut ranges = Vec::new();
    for sequence in sequences {
        add_to_ranges(&mut ranges, sequence);
    }
    ranges
}
