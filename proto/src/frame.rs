//! The two frames of the session stream, with their entries left encoded, and what a topic gives, with its messages left so.
//!
//! On the wire a `repeated` message field and a `repeated bytes` field are the same. So an entry is encoded once, by the thread
//! that makes it, can be kept for a retry as a reference-counted slice, and is decoded by whoever it is for; the frame itself
//! is only a concatenation. Messages of a topic are encoded once for all who follow it, many in one piece. The `.proto` shows the
//! plain form to every other language.

use crate::v1::{self, piece};
use bursar_memory::{Piece, Scattered};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

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

/// `bursar.v1.topic.NextReply`: what a subscription is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NextReply {
    /// Messages, in order.
    pub messages: Vec<Given>,
    /// Messages that were dropped after the last of them.
    pub missed: u64,
    /// The one that asked.
    pub subscription: u64,
}

/// Messages of a topic, `v1::topic::Delivered`, in what a subscription is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Several, encoded as they stand in the reply. Only written: whoever reads gets each by itself.
    Run(Bytes),
    /// One, encoded.
    Encoded(Bytes),
    /// One: so large that it is not copied, but scattered.
    Large(v1::topic::Delivered),
}

impl NextReply {
    const MESSAGES: u32 = 1;
    const MISSED: u32 = 2;
    const SUBSCRIPTION: u32 = 3;

    /// Adds a message to a run, as it will stand in the reply.
    pub fn add_to_run(run: &mut Vec<u8>, message: &v1::topic::Delivered) {
        encoding::message::encode(NextReply::MESSAGES, message, run);
    }

    /// The messages, decoded one after the other.
    pub fn delivered(self) -> impl Iterator<Item = Result<v1::topic::Delivered, DecodeError>> {
        self.messages.into_iter().flat_map(|given| match given {
            Given::Run(run) => NextReply::decode(run).map_or_else(|error| vec![Err(error)], |run| run.delivered().collect()),
            Given::Encoded(message) => vec![v1::topic::Delivered::decode(message)],
            Given::Large(message) => vec![Ok(message)],
        })
    }
}

impl Given {
    fn write(&self, buffer: &mut impl BufMut) {
        match self {
            Given::Run(run) => buffer.put_slice(run),
            Given::Encoded(message) => encoding::bytes::encode(NextReply::MESSAGES, message, buffer),
            Given::Large(message) => encoding::message::encode(NextReply::MESSAGES, message, buffer),
        }
    }

    fn written_len(&self) -> usize {
        match self {
            Given::Run(run) => run.len(),
            Given::Encoded(message) => encoding::bytes::encoded_len(NextReply::MESSAGES, message),
            Given::Large(message) => encoding::message::encoded_len(NextReply::MESSAGES, message),
        }
    }

    /// What lies in one piece stays encoded.
    fn read(buffer: &mut impl Buf) -> Result<Given, DecodeError> {
        let length = encoding::decode_varint(buffer)? as usize;
        if length <= buffer.chunk().len() {
            return Ok(Given::Encoded(buffer.copy_to_bytes(length)));
        }
        if length > buffer.remaining() {
            // The error of a message that is not all there.
            return v1::topic::Delivered::decode_length_delimited(&[1][..]).map(Given::Large);
        }
        Ok(Given::Large(v1::topic::Delivered::decode(buffer.take(length))?))
    }
}

impl Message for NextReply {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        let NextReply { messages, missed, subscription } = self;
        messages.iter().for_each(|given| given.write(buffer));
        if *missed != 0 {
            encoding::uint64::encode(NextReply::MISSED, missed, buffer);
        }
        if *subscription != 0 {
            encoding::uint64::encode(NextReply::SUBSCRIPTION, subscription, buffer);
        }
    }

    fn encoded_len(&self) -> usize {
        let NextReply { messages, missed, subscription } = self;
        let number = |tag, number: &u64| if *number != 0 { encoding::uint64::encoded_len(tag, number) } else { 0 };
        messages.iter().map(Given::written_len).sum::<usize>()
            + number(NextReply::MISSED, missed)
            + number(NextReply::SUBSCRIPTION, subscription)
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            NextReply::MESSAGES => {
                encoding::check_wire_type(WireType::LengthDelimited, wire_type)?;
                self.messages.push(Given::read(buffer)?);
                Ok(())
            }
            NextReply::MISSED => encoding::uint64::merge(wire_type, &mut self.missed, buffer, context),
            NextReply::SUBSCRIPTION => encoding::uint64::merge(wire_type, &mut self.subscription, buffer, context),
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn clear(&mut self) {
        *self = NextReply::default();
    }
}

/// Adds a sequence to a list of ranges; neighbours that come in order are merged.
pub fn add_to_ranges(ranges: &mut Vec<v1::Range>, sequence: u64) {
    match ranges.last_mut() {
        Some(last) if last.first + last.count == sequence => last.count += 1,
        _ => ranges.push(v1::Range { first: sequence, count: 1 }),
    }
}

/// The field `sequence` of both entries.
pub const SEQUENCE: u32 = 1;
/// The field `call` of a `ClientEntry`.
pub const CALL: u32 = 3;
/// The field `answer` of a `ServerEntry`.
const ANSWER: u32 = 3;

/// A `ClientEntry` with this encoded `Call`; the call is not copied.
pub fn with_call(sequence: u64, call: &Scattered) -> Scattered {
    entry_with(sequence, CALL, call)
}

/// A `ServerEntry` with this encoded `Answer`; the answer is not copied.
pub fn with_answer(sequence: u64, answer: &Scattered) -> Scattered {
    entry_with(sequence, ANSWER, answer)
}

fn entry_with(sequence: u64, field: u32, message: &Scattered) -> Scattered {
    let mut head = BytesMut::new();
    encoding::uint64::encode(SEQUENCE, &sequence, &mut head);
    encoding::encode_key(field, WireType::LengthDelimited, &mut head);
    encoding::encode_varint(message.len() as u64, &mut head);
    Scattered::of(std::iter::once(head.freeze()).chain(message.pieces().cloned()))
}

impl From<Vec<Piece>> for v1::Mapped {
    fn from(pieces: Vec<Piece>) -> v1::Mapped {
        let piece = |piece| match piece {
            Piece::Data(data) => piece::Piece::Data(data),
            Piece::Memory(number) => piece::Piece::Memory(number),
        };
        v1::Mapped { pieces: pieces.into_iter().map(|of| v1::Piece { piece: Some(piece(of)) }).collect() }
    }
}

impl From<v1::Mapped> for Vec<Piece> {
    fn from(mapped: v1::Mapped) -> Vec<Piece> {
        let piece = |piece| match piece {
            piece::Piece::Data(data) => Piece::Data(data),
            piece::Piece::Memory(number) => Piece::Memory(number),
        };
        mapped.pieces.into_iter().filter_map(|of| of.piece).map(piece).collect()
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

    /// Whether pieces of this entry have come.
    pub fn has(&self, id: u64) -> bool {
        self.partial.iter().any(|(known, ..)| *known == id)
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
    fn what_a_topic_gives_is_the_plain_protobuf_form() {
        let message = |position| v1::topic::Delivered { position, ..Default::default() };
        let mut run = Vec::new();
        [7, 8].iter().for_each(|position| NextReply::add_to_run(&mut run, &message(*position)));
        let written = NextReply { messages: vec![Given::Run(run.into())], missed: 3, subscription: 9 };
        // twice field 1, length-delimited, 2 bytes: { position(1) }; missed(2)=3; subscription(3)=9
        let bytes = written.encode_to_vec();
        assert_eq!(bytes, [0x0a, 2, 0x08, 7, 0x0a, 2, 0x08, 8, 0x10, 3, 0x18, 9]);
        assert_eq!(bytes.len(), written.encoded_len());
        let read = NextReply::decode(&bytes[..]).unwrap();
        let messages = [7, 8].map(|position| Given::Encoded(message(position).encode_to_vec().into())).to_vec();
        assert_eq!(read, NextReply { messages, missed: 3, subscription: 9 });
        assert_eq!(read.encode_to_vec(), bytes, "what was read can be written again");
        for reply in [written, read] {
            assert_eq!(reply.delivered().collect::<Result<Vec<_>, _>>(), Ok(vec![message(7), message(8)]));
        }
    }

    #[test]
    fn a_large_message_of_a_topic_is_copied_neither_on_its_way_out_nor_on_its_way_in() {
        let data = Bytes::from(vec![7; 5000]);
        let value = Some(v1::Value { data: data.clone(), codec: 1 });
        let message = v1::topic::Delivered { position: 7, subject: "a".into(), value, ..Default::default() };
        let written = NextReply { messages: vec![Given::Large(message.clone())], missed: 0, subscription: 9 };
        let scattered = Scattered::encode(&written, 1000);
        let plain = NextReply { messages: vec![Given::Encoded(message.encode_to_vec().into())], missed: 0, subscription: 9 };
        assert_eq!(scattered.clone().flat(), plain.encode_to_vec());
        let read = NextReply::decode(scattered).unwrap();
        assert_eq!(read, written);
        let there = read.delivered().next().unwrap().unwrap().value.unwrap().data;
        assert_eq!(there.as_ptr(), data.as_ptr());
    }

    #[test]
    fn a_topic_that_gives_nothing_says_nothing() {
        assert_eq!(NextReply::default().encode_to_vec(), [0_u8; 0]);
        assert!(NextReply::decode(&[0x0a, 9, 0][..]).is_err(), "a message that is not all there");
    }

    #[test]
    fn an_entry_around_what_is_scattered_is_the_plain_encoding() {
        let value = v1::Value { data: vec![7; 3000].into(), codec: 1 };
        let put = v1::kv::PutRequest { value: Some(value), ..Default::default() };
        let command = v1::kv::Command { verb: Some(v1::kv::command::Verb::Put(put)) };
        let call = v1::Call { command: Some(v1::call::Command::Kv(command)) };
        let scattered = with_call(300, &Scattered::encode(&call, 1000));
        let entry = v1::ClientEntry { sequence: 300, entry: Some(v1::client_entry::Entry::Call(call)) };
        assert!(scattered.pieces().count() > 1);
        assert_eq!(scattered.flat(), entry.encode_to_vec());

        let answer =
            v1::Answer { reply: Some(v1::answer::Reply::Fault(v1::Fault { message: "no".into(), ..Default::default() })) };
        let scattered = with_answer(300, &Scattered::encode(&answer, 1));
        let entry = v1::ServerEntry { sequence: 300, entry: Some(v1::server_entry::Entry::Answer(answer)) };
        assert_eq!(scattered.flat(), entry.encode_to_vec());
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
