//! Payloads: how a value becomes bytes and a codec number, and back. The broker stores both and looks at neither.

use bursar_proto::v1;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, io, ops::Deref};

/// A payload as the broker keeps it: bytes, and the number that says what they are.
///
/// `Queue<Raw>` and `Kv<Raw>` encode and decode nothing.
///
/// ```
/// use bursar::Raw;
/// assert_eq!(Raw::from("x"), Raw { data: "x".into(), codec: Raw::RAW });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Raw {
    /// The bytes.
    pub data: Bytes,
    /// What they are: one of the numbers here, or any other number among friends.
    pub codec: u32,
}

impl Raw {
    /// Bytes without further meaning.
    pub const RAW: u32 = v1::Codec::Raw as u32;
    /// MessagePack: what typed objects write.
    pub const MESSAGEPACK: u32 = v1::Codec::Messagepack as u32;
    /// JSON text.
    pub const JSON: u32 = v1::Codec::Json as u32;
    /// Python's pickle.
    pub const PICKLE: u32 = v1::Codec::Pickle as u32;

    /// What `write` writes, without further meaning (codec 0). If it has 256 KiB or more it is in memory that processes of this host share, so
    /// that putting it somewhere does not copy it; where there is no such memory, it is as any other.
    ///
    /// An error is what `write` says, or that the memory is used up.
    ///
    /// ```
    /// use bursar::Raw;
    /// let squares = Raw::written(|memory| (0..100_000_u64).try_for_each(|n| memory.write_all(&(n * n).to_le_bytes())))?;
    /// assert_eq!(squares.data.len(), 800_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn written(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<Raw> {
        bursar_memory::written(write).map(Raw::from)
    }
}

/// Bytes without further meaning (codec 0).
impl<B: Into<Bytes>> From<B> for Raw {
    fn from(data: B) -> Raw {
        Raw { data: data.into(), codec: Raw::RAW }
    }
}

/// What can be written: every type that serde can write (as MessagePack), a borrowed one such as `str` too, [`Json`] of one (as JSON), or
/// [`Raw`]. It is what arguments and answers of calls have to be; what an object holds is read as well, and is a [`Payload`].
///
/// ```
/// use bursar::{Encode, Payload};
/// let raw = "apple".encode()?; // a `str` can be written,
/// assert_eq!(String::decode(raw)?, "apple"); // and is read as a `String`
/// # Ok::<(), bursar::CodecError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be written for other processes",
    note = "derive `serde::Serialize` for it"
)]
pub trait Encode {
    /// The bytes of a value.
    fn encode(&self) -> Result<Raw, CodecError>;
}

impl<T: Serialize + ?Sized> Encode for T {
    fn encode(&self) -> Result<Raw, CodecError> {
        match rmp_serde::to_vec_named(self) {
            Ok(data) => Ok(Raw { data: data.into(), codec: Raw::MESSAGEPACK }),
            Err(error) => Err(CodecError::encoding::<T>(Raw::MESSAGEPACK, error.to_string())),
        }
    }
}

impl Encode for Raw {
    fn encode(&self) -> Result<Raw, CodecError> {
        Ok(self.clone())
    }
}

/// What an object can hold: every type that serde can write and read (as MessagePack), [`Json`] of one (as JSON), or [`Raw`].
///
/// Reading takes MessagePack and JSON alike, so that Rust, Python and the command line can share an object. A struct is written
/// with its field names. `Vec<u8>` is a list of numbers to serde: for plain bytes use [`Raw`] or a type with `serde_bytes`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot travel to other processes",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; what it holds has to be its own"
)]
pub trait Payload: Encode + Sized {
    /// The value of bytes; an error when they are of another codec or shape.
    fn decode(raw: Raw) -> Result<Self, CodecError>;
}

impl<T: Serialize + DeserializeOwned> Payload for T {
    fn decode(raw: Raw) -> Result<T, CodecError> {
        decode(&raw)
    }
}

impl Payload for Raw {
    fn decode(raw: Raw) -> Result<Raw, CodecError> {
        Ok(raw)
    }
}

/// A value that is written as JSON, for readers that know only that: `Queue<Json<Job>>`.
///
/// ```
/// use bursar::{Encode, Json};
/// assert_eq!(Json(vec![1, 2]).encode()?.data, "[1,2]");
/// # Ok::<(), bursar::CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Encode for Json<T> {
    fn encode(&self) -> Result<Raw, CodecError> {
        match serde_json::to_vec(&self.0) {
            Ok(data) => Ok(Raw { data: data.into(), codec: Raw::JSON }),
            Err(error) => Err(CodecError::encoding::<T>(Raw::JSON, error.to_string())),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Payload for Json<T> {
    fn decode(raw: Raw) -> Result<Json<T>, CodecError> {
        decode(&raw).map(Json)
    }
}

fn decode<T: DeserializeOwned>(raw: &Raw) -> Result<T, CodecError> {
    let decoded = match raw.codec {
        Raw::MESSAGEPACK => rmp_serde::from_slice(&raw.data).map_err(|error| error.to_string()),
        Raw::JSON => serde_json::from_slice(&raw.data).map_err(|error| error.to_string()),
        _ => Err("a typed object reads MessagePack (1) and JSON (2) only: open it as `Raw` instead".to_owned()),
    };
    decoded.map_err(|problem| CodecError { codec: raw.codec, name: type_name::<T>(), encoding: false, problem })
}

/// A value and its bytes do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload of codec {codec} ({}) cannot be {} {name}: {problem}", codec_name(*.codec),
    if *.encoding { "made from" } else { "read as" })]
pub struct CodecError {
    codec: u32,
    name: &'static str,
    encoding: bool,
    problem: String,
}

impl CodecError {
    fn encoding<T: ?Sized>(codec: u32, problem: String) -> CodecError {
        CodecError { codec, name: type_name::<T>(), encoding: true, problem }
    }

    /// The codec of the payload, as in [`Raw::codec`].
    pub fn codec(&self) -> u32 {
        self.codec
    }

    /// Whether a value could not be written; otherwise bytes could not be read.
    pub fn is_encoding(&self) -> bool {
        self.encoding
    }
}

fn codec_name(codec: u32) -> &'static str {
    match codec {
        Raw::RAW => "raw bytes",
        Raw::MESSAGEPACK => "MessagePack",
        Raw::JSON => "JSON",
        Raw::PICKLE => "pickle",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn values_survive_and_both_codecs_are_read() {
        let value: BTreeMap<String, i64> = [("a".to_owned(), -1)].into();
        let messagepack = value.encode().unwrap();
        let json = Json(value.clone()).encode().unwrap();
        assert_eq!((messagepack.codec, json.codec), (Raw::MESSAGEPACK, Raw::JSON));
        assert_eq!(Payload::decode(messagepack), Ok(value.clone()));
        assert_eq!(Payload::decode(json), Ok(value));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_a_way_out() {
        let error = i64::decode(Raw { data: "x".into(), codec: Raw::PICKLE }).unwrap_err();
        assert!(error.to_string().contains("codec 3 (pickle)") && error.to_string().contains("`Raw`"), "{error}");
        let error = i64::decode(Raw { data: "[1]".into(), codec: Raw::JSON }).unwrap_err();
        assert!(error.to_string().contains("read as i64"), "{error}");
    }
}
