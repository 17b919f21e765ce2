//! Integers as clients store them: the only values that the broker reads. The rest of MessagePack and JSON is not known here.

use super::Value;
use bytes::Bytes;

/// `Codec` of the contract; a test compares.
pub(super) const MESSAGEPACK: u32 = 1;
/// `Codec` of the contract; a test compares.
pub(super) const JSON: u32 = 2;

/// What is in the way of an i64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is something else, or nothing that can be read.
    NotAnInteger,
    /// It is an integer beyond i64.
    TooLarge,
}

/// The integer in a value.
pub(super) fn read(value: &Value) -> Result<i64, Unfit> {
    match value.codec {
        MESSAGEPACK => read_messagepack(&value.data),
        JSON => read_json(&value.data),
        _ => Err(Unfit::NotAnInteger),
    }
}

/// The integer in the shortest form that the codec has.
pub(super) fn write(integer: i64, codec: u32) -> Value {
    let data = match codec {
        JSON => Bytes::from(integer.to_string()),
        _ => write_messagepack(integer),
    };
    Value { data, codec }
}

fn read_messagepack(data: &[u8]) -> Result<i64, Unfit> {
    match *data {
        [byte @ (0x00..=0x7f | 0xe0..=0xff)] => Ok(i64::from(byte as i8)),
        [0xcc, a] => Ok(i64::from(a)),
        [0xcd, a, b] => Ok(i64::from(u16::from_be_bytes([a, b]))),
        [0xce, a, b, c, d] => Ok(i64::from(u32::from_be_bytes([a, b, c, d]))),
        [0xcf, a, b, c, d, e, f, g, h] => {
            i64::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).map_err(|_| Unfit::TooLarge)
        }
        [0xd0, a] => Ok(i64::from(a as i8)),
        [0xd1, a, b] => Ok(i64::from(i16::from_be_bytes([a, b]))),
        [0xd2, a, b, c, d] => Ok(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [0xd3, a, b, c, d, e, f, g, h] => Ok(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => Err(Unfit::NotAnInteger),
    }
}

fn write_messagepack(integer: i64) -> Bytes {
    let (tag, bytes): (u8, &[u8]) = match integer {
        -32..=127 => return Bytes::copy_from_slice(&[integer as u8]),
        128..=0xff => (0xcc, &(integer as u8).to_be_bytes()),
        0x100..=0xffff => (0xcd, &(integer as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => (0xce, &(integer as u32).to_be_bytes()),
        0x1_0000_0000.. => (0xcf, &(integer as u64).to_be_bytes()),
        -0x80..=-33 => (0xd0, &(integer as i8).to_be_bytes()),
        -0x8000..=-0x81 => (0xd1, &(integer as i16).to_be_bytes()),
        -0x8000_0000..=-0x8001 => (0xd2, &(integer as i32).to_be_bytes()),
        _ => (0xd3, &integer.to_be_bytes()),
    };
    [&[tag], bytes].concat().into()
}

/// An integer of JSON: no plus sign, no leading zero, no fraction, no exponent; spaces around it.
fn read_json(data: &[u8]) -> Result<i64, Unfit> {
    let text = std::str::from_utf8(data).map_err(|_| Unfit::NotAnInteger)?;
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leads = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || leads || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unfit::NotAnInteger);
    }
    text.parse().map_err(|_| Unfit::TooLarge)
}
