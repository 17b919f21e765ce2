//! A call as it waits to be sent, and for a retry: encoded. What is too large for one frame stays in the pieces that the program has;
//! it leaves by memory on the connection on which that was handed over, and in parts on every other.

use bursar_memory::{Piece, SHARED_BYTES_MIN, Scattered, SideSocket, Source};
use bursar_proto::{
    frame, limits,
    v1::{self, client_entry},
};
use bytes::{Bytes, BytesMut};
use prost::{Message, encoding};

/// A call whose place in the order is not known yet.
pub(crate) enum Unsent {
    /// An encoded `ClientEntry`, up to its sequence.
    Small(BytesMut),
    /// An encoded `Call`.
    Large { call: Scattered, mapped: Option<Mapped> },
}

/// The pieces of a call, of which some were handed over on this connection.
pub(crate) struct Mapped {
    generation: u64,
    pieces: Vec<Piece>,
}

impl Unsent {
    /// Encodes a `Call`, of whatever type: on the wire it is one.
    pub fn new(call: &impl Message) -> Unsent {
        /// Key and length of the call, key and value of the sequence.
        const AROUND_BYTES_MAX: usize = 1 + 5 + 11;
        let bytes = call.encoded_len() + AROUND_BYTES_MAX;
        if bytes > limits::FRAME_BYTES_MAX {
            return Unsent::Large { call: Scattered::encode(call, SHARED_BYTES_MIN), mapped: None };
        }
        let mut small = BytesMut::with_capacity(bytes);
        encoding::message::encode(frame::CALL, call, &mut small);
        Unsent::Small(small)
    }

    /// Copies what is large into memory, and hands it over.
    pub fn share(self, side: &SideSocket, generation: u64) -> Unsent {
        let Unsent::Large { call, mapped: None } = self else { return self };
        match side.share(&call, Source::Any) {
            Some((pieces, call)) => Unsent::Large { call, mapped: Some(Mapped { generation, pieces }) },
            None => Unsent::Large { call, mapped: None },
        }
    }

    pub fn is_large(&self) -> bool {
        matches!(self, Unsent::Large { .. })
    }

    pub(super) fn numbered(self, sequence: u64) -> Entry {
        match self {
            Unsent::Small(mut entry) => {
                // The fields of a message may come in any order.
                encoding::uint64::encode(frame::SEQUENCE, &sequence, &mut entry);
                Entry::Whole(entry.freeze())
            }
            Unsent::Large { call, mapped } => Entry::Large { sequence, call, mapped },
        }
    }
}

/// A call with its place.
pub(super) enum Entry {
    /// An encoded `ClientEntry`; empty once it was answered.
    Whole(Bytes),
    /// An encoded `Call`.
    Large { sequence: u64, call: Scattered, mapped: Option<Mapped> },
}

/// How an entry leaves.
pub(super) enum Leaving {
    InFrame(Bytes),
    InParts(Scattered),
}

impl Entry {
    /// How it leaves on the connection of this number.
    pub fn leaving(&self, generation: u64, frame_bytes_max: usize) -> Leaving {
        let in_one = match self {
            Entry::Whole(entry) => entry.clone(),
            Entry::Large { sequence, mapped: Some(mapped), .. } if mapped.generation == generation => {
                let call = client_entry::Entry::MappedCall(mapped.pieces.clone().into());
                v1::ClientEntry { sequence: *sequence, entry: Some(call) }.encode_to_vec().into()
            }
            Entry::Large { .. } => return Leaving::InParts(self.whole()),
        };
        if in_one.len() <= frame_bytes_max { Leaving::InFrame(in_one) } else { Leaving::InParts(self.whole()) }
    }

    /// All of it, encoded.
    pub fn whole(&self) -> Scattered {
        match self {
            Entry::Whole(entry) => entry.clone().into(),
            Entry::Large { sequence, call, .. } => frame::with_call(*sequence, call),
        }
    }
}
