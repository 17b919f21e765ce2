//! The two frames of the session stream, with their entries left encoded.
//!
//! On the wire a `repeated` message field and a `repeated bytes` field are the same. So an entry is encoded once, by the thread
//! that makes it, can be kept for a retry as a reference-counted slice, and is decoded by whoever it is for; the frame itself
//! is only a concatenation. The `.proto` shows the plain form to every other language.

use crate::v1;
use bytes::Bytes;

/// `bursar.v1.ClientFrame`: what a client says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClientFrame {
    /// Encoded `v1::ClientEntry`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub entries: Vec<Bytes>,
    /// Sequences whose answers have arrived.
    #[prost(message, repeated, tag = "2")]
    pub heard: Vec<v1::Range>,
}

/// `bursar.v1.ServerFrame`: what a broker says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerFrame {
    /// Encoded `v1::ServerEntry`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub entries: Vec<Bytes>,
}

/// Adds a sequence to a list of ranges; neighbours that come in order are merged.
pub fn add_to_ranges(ranges: &mut Vec<v1::Range>, sequence: u64) {
    match ranges.last_mut() {
        Some(last) if last.first + last.count == sequence => last.count += 1,
        _ => ranges.push(v1::Range { first: sequence, count: 1 }),
    }
}

/// Entries that may be under way in parts at one time: a sender has one, or a few.
const PARTIAL_MAX: usize = 16;

/// Puts the pieces of large entries together again, within a budget of bytes.
#[derive(Debug, Default)]
pub struct Assembly {
    /// At most a few at a time; the newest at the end.
    partial: Vec<(u64, u64, Vec<u8>)>,
    bytes: u64,
}

impl Assembly {
    /// Bytes that entries under way were announced with.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes one piece; gives the entry when it is complete. An error is a violation of the protocol or of the budget.
    pub fn add(&mut self, part: v1::Part, bytes_max: u64) -> Result<Option<Bytes>, String> {
        let at = match self.partial.iter().position(|(id, ..)| *id == part.id) {
            Some(at) => at,
            None if self.partial.len() >= PARTIAL_MAX => {
                return Err(format!("more than {PARTIAL_MAX} entries are under way in parts at once"));
            }
            None => {
                // The total is reserved at the first piece, so that what is promised counts and not what has come.
                if part.total > bytes_max.saturating_sub(self.bytes) {
                    return Err(format!("entry of {} bytes in parts: {} of {bytes_max} are in use", part.total, self.bytes));
                }
                self.bytes += part.total;
                self.partial.push((part.id, part.total, Vec::new()));
                self.partial.len() - 1
            }
        };
        let (_, total, data) = &mut self.partial[at];
        let came = data.len() as u64 + part.data.len() as u64;
        if part.total != *total || came > *total || (part.data.is_empty() && *total > 0) {
            return Err(format!("part of entry {}: {came} bytes came of {total} announced", part.id));
        }
        data.extend_from_slice(&part.data);
        if came < *total {
            return Ok(None);
        }
        let (_, total, data) = self.partial.swap_remove(at);
        self.bytes -= total;
        Ok(Some(data.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// Cuts an encoded entry into the data of its parts.
    fn cut(id: u64, entry: &Bytes, size: usize) -> impl Iterator<Item = v1::Part> {
        let total = entry.len() as u64;
        (0..entry.len()).step_by(size).map(move |from| v1::Part {
            id,
            total,
            data: entry.slice(from..entry.len().min(from + size)),
        })
    }

    #[test]
    fn an_entry_in_a_frame_is_the_plain_protobuf_form() {
        let entry = v1::ServerEntry { sequence: 7, entry: Some(v1::server_entry::Entry::Beat(v1::Beat { number: 3 })) };
        let frame = ServerFrame { entries: vec![entry.encode_to_vec().into()] };
        // field 1, length-delimited, 6 bytes: { sequence(1)=7, beat(4)={ number(1)=3 } }
        assert_eq!(frame.encode_to_vec(), [0x0a, 6, 0x08, 7, 0x22, 2, 0x08, 3]);
    }

    #[test]
    fn parts_of_two_entries_may_be_mixed() {
        let (one, two) = (Bytes::from(vec![1; 1000]), Bytes::from(vec![2; 700]));
        let mut assembly = Assembly::default();
        let mut whole = Vec::new();
        let mut parts: Vec<_> = cut(1, &one, 300).zip(cut(2, &two, 300)).flat_map(|(a, b)| [a, b]).collect();
        parts.extend(cut(1, &one, 300).skip(3));
        for part in parts {
            whole.extend(assembly.add(part, 2000).unwrap());
        }
        whole.sort();
        assert_eq!(whole, [one, two]);
        assert_eq!(assembly.bytes, 0);
    }

    #[test]
    fn parts_beyond_the_budget_or_the_announcement_are_errors() {
        let part = |id, total, len| v1::Part { id, total, data: vec![0; len].into() };
        let mut assembly = Assembly::default();
        assert!(assembly.add(part(1, 101, 1), 100).is_err());
        assert_eq!(assembly.add(part(1, 60, 1), 100), Ok(None));
        assert!(assembly.add(part(2, 60, 1), 100).is_err(), "what is announced counts");
        assert!(assembly.add(part(1, 60, 60), 100).is_err());
        assert!(assembly.add(part(1, 61, 1), 100).is_err());
        assert!(assembly.add(part(1, 60, 0), 100).is_err(), "an empty part makes no progress");
    }

    #[test]
    fn ranges_merge_neighbours() {
        let mut ranges = Vec::new();
        for sequence in [1, 2, 3, 7, 8, 5] {
            add_to_ranges(&mut ranges, sequence);
        }
        let pairs: Vec<_> = ranges.iter().map(|range| (range.first, range.count)).collect();
        assert_eq!(pairs, [(1, 3), (7, 2), (5, 1)]);
    }
}
