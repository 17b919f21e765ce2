//! Payloads as text: what the command line stores, and how it shows what others stored.

use super::{
    failure::Failure,
    input::{self, Source},
    msgpack,
};
use bursar::Raw;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::io::IsTerminal;

/// A value of the command line.
#[derive(clap::Args, Debug)]
pub struct Given {
    /// The value; - or none reads all of stdin
    value: Option<String>,
    /// The value is JSON
    #[arg(long)]
    json_value: bool,
}

impl Given {
    /// All of stdin.
    pub fn stdin(json_value: bool) -> Given {
        Given { value: Some("-".into()), json_value }
    }

    /// The value, read from stdin where that was said. `verb` is who asks.
    pub async fn read(self, verb: &str) -> Result<Raw, Failure> {
        let value = match self.value {
            Some(value) if value != "-" => Bytes::from(value),
            None if std::io::stdin().is_terminal() => {
                return Err(Failure::usage(format!("{verb}: no value: name one, or - to type it")));
            }
            _ => input::whole(&Source::Stdin).await?,
        };
        of(value, self.json_value)
    }
}

/// The bytes as they are, or JSON.
pub fn of(value: Bytes, is_json: bool) -> Result<Raw, Failure> {
    if is_json { json(value) } else { Ok(Raw::from(value)) }
}

/// JSON text, which must be one JSON document; kept as it was written.
pub fn json(data: Bytes) -> Result<Raw, Failure> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(&data) {
        Ok(_) => Ok(Raw { data, codec: Raw::JSON }),
        Err(error) => {
            let shown: String = String::from_utf8_lossy(&data).chars().take(60).collect();
            Err(Failure::usage(format!("expected JSON, found {shown:?}: {error}; text is written as '\"text\"'")))
        }
    }
}

/// For people and pipes: JSON text for MessagePack and JSON, the bytes themselves for everything else.
pub fn shown(raw: &Raw) -> Bytes {
    match decoded(raw) {
        Some(value) => value.to_string().into(),
        None => raw.data.clone(),
    }
}

/// One cell of a table.
pub fn cell(raw: &Raw) -> String {
    super::output::cell(&String::from_utf8_lossy(&shown(raw)))
}

/// A JSON object of `codec`, and `value` or, where the bytes are neither text nor understood, `base64`.
pub fn object(raw: &Raw) -> Map<String, Value> {
    let (name, value) = match (decoded(raw), std::str::from_utf8(&raw.data)) {
        (Some(value), _) => ("value", value),
        (None, Ok(text)) => ("value", text.into()),
        (None, Err(_)) => ("base64", base64(&raw.data).into()),
    };
    Map::from_iter([("codec".to_owned(), codec_name(raw.codec).into()), (name.to_owned(), value)])
}

fn decoded(raw: &Raw) -> Option<Value> {
    match raw.codec {
        Raw::MESSAGEPACK => msgpack::to_json(&raw.data),
        Raw::JSON => serde_json::from_slice(&raw.data).ok(),
        _ => None,
    }
}

fn codec_name(codec: u32) -> String {
    match codec {
        Raw::RAW => "raw".into(),
        Raw::MESSAGEPACK => "messagepack".into(),
        Raw::JSON => "json".into(),
        Raw::PICKLE => "pickle".into(),
        codec => codec.to_string(),
    }
}

/// Base64 with padding, as in RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn base64_of_rfc_4648() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }

    #[test]
    fn each_codec_is_shown_in_its_way() {
        let object = |raw: &Raw| Value::Object(object(raw));
        assert_eq!(object(&Raw::from("hi")), json!({"codec": "raw", "value": "hi"}));
        assert_eq!(object(&Raw::from(vec![0xff])), json!({"codec": "raw", "base64": "/w=="}));
        assert_eq!(object(&super::json("[1]".into()).unwrap()), json!({"codec": "json", "value": [1]}));
        assert_eq!(object(&Raw { data: "x".into(), codec: 99 }), json!({"codec": "99", "value": "x"}));
        assert_eq!(shown(&Raw { data: Bytes::from_static(b"\x92\x01\xa1x"), codec: Raw::MESSAGEPACK }), "[1,\"x\"]");
        let broken = Raw { data: Bytes::from_static(b"\x92\x01"), codec: Raw::MESSAGEPACK };
        assert_eq!(shown(&broken), broken.data, "what cannot be decoded is shown as it is");
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_way_to_write_text() {
        let failure = super::json("hello".into()).unwrap_err();
        assert!(failure.message.contains("found \"hello\"") && failure.message.contains("'\"text\"'"), "{}", failure.message);
    }
}
