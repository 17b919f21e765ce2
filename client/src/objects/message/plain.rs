//! A message of a topic, read where it lies. Nearly all are plain: a position, a subject and a value. Those are taken out of the bytes
//! that came, without a copy, and neighbours share their subject. What has more to say is read by the generated decoder.

use super::Delivered;
use bursar_proto::v1::{self, topic};
use bytes::{Buf, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{WireType, decode_key, decode_varint},
};
use std::{ops::Range, str, sync::Arc};

/// Reads messages one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Of the last one.
    subject: Arc<str>,
}

impl Reader {
    /// Reads an encoded `bursar.v1.topic.Delivered`.
    pub fn read(&mut self, mut message: Bytes) -> Result<Delivered, DecodeError> {
        let Some(plain) = Plain::read(&message).filter(|plain| self.knows(plain.subject)) else {
            return topic::Delivered::decode(message).map(Delivered::from);
        };
        let Plain { position, subject: _, data, codec, sent_ms, session, redelivered, missed } = plain;
        message.truncate(data.end);
        message.advance(data.start);
        Ok(Delivered {
            position,
            subject: self.subject.clone(),
            value: v1::Value { data: message, codec },
            sent_ms,
            session,
            redelivered,
            missed,
            extra: None,
        })
    }

    /// Whether it is text. Then it is the last subject.
    fn knows(&mut self, subject: &[u8]) -> bool {
        if self.subject.as_bytes() == subject {
            return true;
        }
        let text = str::from_utf8(subject);
        self.subject = text.unwrap_or_default().into();
        text.is_ok()
    }
}

/// The fields of a plain message.
#[derive(Debug, Default)]
struct Plain<'a> {
    position: u64,
    subject: &'a [u8],
    /// Where the payload is in the message.
    data: Range<usize>,
    codec: u32,
    sent_ms: u64,
    session: u64,
    redelivered: bool,
    missed: u64,
}

impl Plain<'_> {
    /// `None`: it has other fields, or is damaged.
    fn read(message: &[u8]) -> Option<Plain<'_>> {
        let (mut plain, mut rest) = (Plain::default(), message);
        while !rest.is_empty() {
            match decode_key(&mut rest).ok()? {
                (1, WireType::Varint) => plain.position = decode_varint(&mut rest).ok()?,
                (2, WireType::LengthDelimited) => plain.subject = part(&mut rest)?,
                (3, WireType::LengthDelimited) => {
                    let value = part(&mut rest)?;
                    let start = message.len() - rest.len() - value.len();
                    let (data, codec) = read_value(value)?;
                    (plain.data, plain.codec) = (start + data.start..start + data.end, codec);
                }
                (5, WireType::Varint) => plain.sent_ms = decode_varint(&mut rest).ok()?,
                (6, WireType::Varint) => plain.session = decode_varint(&mut rest).ok()?,
                (7, WireType::Varint) => plain.redelivered = decode_varint(&mut rest).ok()? != 0,
                (8, WireType::Varint) => plain.missed = decode_varint(&mut rest).ok()?,
                _ => return None,
            }
        }
        Some(plain)
    }
}

/// Of an encoded `bursar.v1.Value`: where its data is, and its codec.
fn read_value(value: &[u8]) -> Option<(Range<usize>, u32)> {
    let (mut data, mut codec, mut rest) = (0..0, 0, value);
    while !rest.is_empty() {
        match decode_key(&mut rest).ok()? {
            (1, WireType::LengthDelimited) => {
                let length = part(&mut rest)?.len();
                let end = value.len() - rest.len();
                data = end - length..end;
            }
            (2, WireType::Varint) => codec = decode_varint(&mut rest).ok()? as u32,
            _ => return None,
        }
    }
    Some((data, codec))
}

/// What the length in front says.
fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = decode_varint(rest).ok()?;
    let (part, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read(message: &topic::Delivered) -> Delivered {
        Reader::default().read(message.encode_to_vec().into()).unwrap()
    }

    fn full() -> topic::Delivered {
        topic::Delivered {
            position: 7_000,
            subject: "orders.eu".into(),
            value: Some(v1::Value { data: Bytes::from_static(b"payload"), codec: 2 }),
            headers: HashMap::new(),
            published_ms: 1_700_000_000_000,
            session: 1 << 40,
            redelivered: true,
            missed: 3,
            reply_to: None,
            answer_to: None,
        }
    }

    #[test]
    fn a_plain_message_is_what_the_generated_decoder_reads() {
        let no_value = topic::Delivered { value: None, ..full() };
        let empty_value = topic::Delivered { value: Some(v1::Value::default()), ..full() };
        for message in [full(), no_value, empty_value, topic::Delivered::default()] {
            assert!(Plain::read(&message.encode_to_vec()).is_some(), "{message:?}");
            assert_eq!(format!("{:?}", read(&message)), format!("{:?}", Delivered::from(message)));
        }
    }

    #[test]
    fn what_has_more_to_say_loses_nothing() {
        let headers = HashMap::from([("kind".to_owned(), "greeting".to_owned())]);
        let reply_to = Some(v1::ReplyTo { inbox: 1, correlation: 2 });
        let answer_to = Some(v1::AnswerTo { inbox: 3, correlation: 4, last: true });
        for message in [
            topic::Delivered { headers, ..full() },
            topic::Delivered { reply_to, ..full() },
            topic::Delivered { answer_to, ..full() },
        ] {
            assert_eq!(format!("{:?}", read(&message)), format!("{:?}", Delivered::from(message)));
        }
    }

    #[test]
    fn neighbours_share_their_subject() {
        let (mut reader, message) = (Reader::default(), full().encode_to_vec());
        let [one, two] = [(); 2].map(|()| reader.read(message.clone().into()).unwrap().subject);
        assert!(Arc::ptr_eq(&one, &two));
        let other = topic::Delivered { subject: "other".into(), ..full() };
        assert_eq!(&*reader.read(other.encode_to_vec().into()).unwrap().subject, "other");
    }

    #[test]
    fn a_subject_that_is_no_text_is_an_error() {
        // subject(2), 1 byte
        assert!(Reader::default().read(Bytes::from_static(&[0x12, 1, 0xff])).is_err());
    }

    #[test]
    fn a_message_that_ends_too_early_is_an_error() {
        let whole = full().encode_to_vec();
        let is_field_end = |end: &usize| topic::Delivered::decode(&whole[..*end]).is_ok();
        for end in (0..whole.len()).filter(|end| !is_field_end(end)) {
            assert!(Reader::default().read(whole[..end].to_vec().into()).is_err(), "{end} bytes");
        }
    }
}
