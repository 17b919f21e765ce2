//! A payload with its codec, as it comes in and goes out. The broker does not look into it.

use super::kind::Damaged;
use bursar_proto::{Fault, v1};
use bytes::Bytes;

/// Smaller payloads are copied out of the frame they came in, so that a small value does not keep a whole frame alive.
pub const COPIED_BELOW: usize = 256 << 10;

/// Two are equal when their bytes and codecs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub data: Bytes,
    /// How the client says they are to be read.
    pub codec: u32,
}

impl Value {
    /// As it came. Faults: BadArgument where there is none, TooLarge.
    pub fn read(value: Option<v1::Value>, bytes_max: usize) -> Result<Value, Fault> {
        let Some(v1::Value { data, codec }) = value else {
            return Err(Fault::bad_argument("value", "expected a value (its data may be empty), got none"));
        };
        if data.len() > bytes_max {
            return Err(Fault::TooLarge { what: "value".into(), size: data.len() as u64, limit: bytes_max as u64 });
        }
        let data = if data.len() < COPIED_BELOW { Bytes::copy_from_slice(&data) } else { data };
        Ok(Value { data, codec })
    }

    /// As it was kept.
    pub fn recall(value: Option<v1::Value>) -> Result<Value, Damaged> {
        let v1::Value { data, codec } = value.ok_or_else(|| Damaged("there is no value where one was kept".into()))?;
        Ok(Value { data, codec })
    }
}

impl From<Value> for v1::Value {
    fn from(value: Value) -> v1::Value {
        let Value { data, codec } = value;
        v1::Value { data, codec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_payload_leaves_its_frame_and_a_large_one_is_worth_it() {
        let frame = Bytes::from(vec![7; 1 << 20]);
        let read = |len| Value::read(Some(v1::Value { data: frame.slice(..len), codec: 9 }), frame.len()).unwrap().data;
        let is_in_frame = |data: &Bytes| frame.as_ptr_range().contains(&data.as_ptr());
        assert_eq!(read(COPIED_BELOW - 1), frame[..COPIED_BELOW - 1]);
        assert!(!is_in_frame(&read(100)) && !is_in_frame(&read(COPIED_BELOW - 1)));
        assert!(is_in_frame(&read(COPIED_BELOW)));
    }
}
