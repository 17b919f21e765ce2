//! An answer as it waits to be sent, and for a retry: encoded. What is too large for one frame stays in the pieces that the objects
//! have, so that nothing is copied for it; whether it leaves by memory or in parts is decided when it leaves.

use bursar_memory::{SHARED_BYTES_MIN, Scattered, SideSocket, Source};
use bursar_proto::{
    limits,
    v1::{self, answer::Reply, server_entry},
};
use bytes::Bytes;
use prost::Message;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An encoded `ServerEntry`.
    Whole(Bytes),
    /// An encoded `Answer` that does not fit into a frame.
    Large {
        /// What it answers.
        sequence: u64,
        /// The answer.
        answer: Scattered,
    },
}

impl Entry {
    /// Encodes an answer.
    pub fn answer(sequence: u64, answer: v1::Answer) -> Entry {
        let entry = v1::ServerEntry { sequence, entry: Some(server_entry::Entry::Answer(answer)) };
        let bytes = entry.encoded_len();
        if let (true, Some(server_entry::Entry::Answer(answer))) = (bytes > limits::FRAME_BYTES_MAX, &entry.entry) {
            return Entry::Large { sequence, answer: Scattered::encode(answer, SHARED_BYTES_MIN) };
        }
        let mut whole = Vec::with_capacity(bytes);
        entry.encode_raw(&mut whole);
        Entry::Whole(whole.into())
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        match self {
            Entry::Whole(bytes) => bytes.len(),
            Entry::Large { answer, .. } => answer.len(),
        }
    }

    /// What it says.
    pub fn into_reply(self) -> Option<Reply> {
        let answer = match self {
            Entry::Whole(bytes) => match v1::ServerEntry::decode(bytes).ok()?.entry? {
                server_entry::Entry::Answer(answer) => answer,
                _ => return None,
            },
            Entry::Large { answer, .. } => v1::Answer::decode(answer).ok()?,
        };
        answer.reply
    }
}

/// An encoded `ServerEntry` that names the memory in which the answer lies; `None`: it has to travel whole.
pub fn mapped(side: &SideSocket, sequence: u64, answer: &Scattered) -> Option<Bytes> {
    let (pieces, _) = side.share(answer, Source::Sealed)?;
    let mapped = v1::ServerEntry { sequence, entry: Some(server_entry::Entry::MappedAnswer(pieces.into())) };
    // What is left of it may be too large for a frame all the same: small pieces between large ones.
    (mapped.encoded_len() <= limits::FRAME_BYTES_MAX).then(|| mapped.encode_to_vec().into())
}
