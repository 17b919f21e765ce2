//! The request that publishes many. Its messages are encoded one by one, as they are given: the same bytes as the generated request,
//! and what the topic had no room for is sent again as it is.

use super::PUBLISH;
use crate::{call::Verb, session::Unsent};
use bursar_proto::v1::{self, topic as wire};
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{self, WireType};

/// Messages that are encoded side by side.
const BLOCK_BYTES: usize = 64 << 10;

/// Encodes messages, `bursar.v1.topic.Message`.
#[derive(Default)]
pub(super) struct Encoder {
    block: BytesMut,
}

impl Encoder {
    /// A message without headers.
    pub fn encode(&mut self, subject: &str, value: &v1::Value) -> Bytes {
        if self.block.capacity() == 0 {
            self.block.reserve(BLOCK_BYTES);
        }
        encoding::encode_key(1, WireType::LengthDelimited, &mut self.block);
        encoding::encode_varint(subject.len() as u64, &mut self.block);
        self.block.put_slice(subject.as_bytes());
        encoding::message::encode(2, value, &mut self.block);
        self.block.split().freeze()
    }
}

/// `bursar.v1.topic.PublishRequest`, with its messages left encoded: on the wire both are the same.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PublishMany {
    #[prost(message, optional, tag = "1")]
    pub object: Option<v1::ObjectRef>,
    #[prost(sint64, tag = "2")]
    pub wait_ms: i64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub messages: Vec<Bytes>,
}

/// `bursar.v1.Call`, as far as it leads to the request.
#[derive(Clone, PartialEq, prost::Message)]
struct Call {
    #[prost(message, optional, tag = "16")]
    topic: Option<Command>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Command {
    #[prost(message, optional, tag = "1")]
    publish: Option<PublishMany>,
}

impl Verb for PublishMany {
    type Reply = wire::PublishReply;
    const CALL: &'static str = PUBLISH;

    fn object(&self) -> &str {
        self.object.as_ref().map_or("", |object| &object.name)
    }

    fn encode(self) -> Unsent {
        Unsent::new(&Call { topic: Some(Command { publish: Some(self) }) })
    }

    fn from_reply(reply: v1::answer::Reply) -> Option<wire::PublishReply> {
        wire::PublishRequest::from_reply(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_generated_request() {
        let object = Some(v1::ObjectRef { name: "news".into(), epoch: 7 });
        let value = |text: &'static str| v1::Value { data: Bytes::from_static(text.as_bytes()), codec: 2 };
        let said = [("a.b", value("one")), ("c", v1::Value::default())];
        let mut encoder = Encoder::default();
        let messages = said.iter().map(|(subject, value)| encoder.encode(subject, value)).collect();
        let lean = PublishMany { object: object.clone(), wait_ms: -1, messages };
        let message = |(subject, value): (&str, v1::Value)| wire::Message {
            subject: subject.to_owned(),
            value: Some(value),
            ..Default::default()
        };
        let messages = said.into_iter().map(message).collect();
        let generated = wire::PublishRequest { object, wait_ms: -1, messages, must_be_heard: false };
        assert_eq!(lean.object(), generated.object());
        let (Unsent::Small(lean), Unsent::Small(generated)) = (lean.encode(), generated.encode()) else {
            panic!("both are small")
        };
        assert_eq!(lean, generated);
    }
}
