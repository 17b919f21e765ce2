//! MessagePack to JSON, for showing. Bytes become base64 and keys that are no text become their JSON text, so that everything
//! that another program stored can be shown; nothing here writes MessagePack.

use super::payload::base64;
use serde_json::{Map, Value as Json, json};

/// Deeper than this is shown as bytes.
const DEPTH_MAX: usize = 100;

/// The one value that the bytes hold; `None` when they do not.
pub fn to_json(bytes: &[u8]) -> Option<Json> {
    let mut rest = bytes;
    let value = value(&mut rest, DEPTH_MAX)?;
    rest.is_empty().then_some(value)
}

fn value(rest: &mut &[u8], depth: usize) -> Option<Json> {
    let depth = depth.checked_sub(1)?;
    let marker = uint(rest, 1)?;
    Some(match marker {
        0x00..=0x7f => json!(marker),
        0x80..=0x8f => map(rest, marker & 0x0f, depth)?,
        0x90..=0x9f => array(rest, marker & 0x0f, depth)?,
        0xa0..=0xbf => text(rest, marker & 0x1f)?,
        0xc0 => Json::Null,
        0xc2 => json!(false),
        0xc3 => json!(true),
        0xc4..=0xc6 => {
            let len = uint(rest, 1 << (marker - 0xc4))?;
            json!(base64(take(rest, len)?))
        }
        0xc7..=0xc9 => {
            let len = uint(rest, 1 << (marker - 0xc7))?;
            extension(rest, len)?
        }
        0xca => json!(f32::from_bits(uint(rest, 4)? as u32)),
        0xcb => json!(f64::from_bits(uint(rest, 8)?)),
        0xcc..=0xcf => json!(uint(rest, 1 << (marker - 0xcc))?),
        0xd0..=0xd3 => json!(int(rest, 1 << (marker - 0xd0))?),
        0xd4..=0xd8 => extension(rest, 1 << (marker - 0xd4))?,
        0xd9..=0xdb => {
            let len = uint(rest, 1 << (marker - 0xd9))?;
            text(rest, len)?
        }
        0xdc | 0xdd => {
            let len = uint(rest, 2 << (marker - 0xdc))?;
            array(rest, len, depth)?
        }
        0xde | 0xdf => {
            let len = uint(rest, 2 << (marker - 0xde))?;
            map(rest, len, depth)?
        }
        0xe0..=0xff => json!(marker as i64 - 256),
        _ => return None,
    })
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = left;
    Some(taken)
}

fn uint(rest: &mut &[u8], bytes: u64) -> Option<u64> {
    Some(take(rest, bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn int(rest: &mut &[u8], bytes: u64) -> Option<i64> {
    let unused = 64 - 8 * bytes;
    Some((uint(rest, bytes)? << unused) as i64 >> unused)
}

fn text(rest: &mut &[u8], len: u64) -> Option<Json> {
    Some(json!(std::str::from_utf8(take(rest, len)?).ok()?))
}

fn extension(rest: &mut &[u8], len: u64) -> Option<Json> {
    let kind = int(rest, 1)?;
    Some(json!({ "extension": kind, "base64": base64(take(rest, len)?) }))
}

// Nothing is reserved for a length that is only claimed: each element takes at least a byte of what is there.
fn array(rest: &mut &[u8], len: u64, depth: usize) -> Option<Json> {
    (0..len).map(|_| value(rest, depth)).collect::<Option<Vec<Json>>>().map(Json::Array)
}

fn map(rest: &mut &[u8], len: u64, depth: usize) -> Option<Json> {
    let entry = |rest: &mut &[u8]| {
        let key = match value(rest, depth)? {
            Json::String(key) => key,
            key => key.to_string(),
        };
        Some((key, value(rest, depth)?))
    };
    (0..len).map(|_| entry(rest)).collect::<Option<Map<String, Json>>>().map(Json::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_shown() {
        let cases: &[(&[u8], Json)] = &[
            (b"\x07", json!(7)),
            (b"\xff", json!(-1)),
            (b"\xcd\x01\x00", json!(256)),
            (b"\xd1\xff\x00", json!(-256)),
            (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", json!(i64::MIN)),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", json!(u64::MAX)),
            (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", json!(1.5)),
            (b"\xca\x3f\xc0\x00\x00", json!(1.5)),
            (b"\xa2hi", json!("hi")),
            (b"\xd9\x02hi", json!("hi")),
            (b"\xc4\x01\xff", json!("/w==")),
            (b"\x93\xc0\xc2\xc3", json!([null, false, true])),
            (b"\xdc\x00\x01\x05", json!([5])),
            (b"\x82\xa1a\x01\x02\x90", json!({"a": 1, "2": []})),
            (b"\xde\x00\x01\xa1k\xa1v", json!({"k": "v"})),
            (b"\xd4\x05\x00", json!({"extension": 5, "base64": "AA=="})),
            (b"\xc7\x01\xff\x00", json!({"extension": -1, "base64": "AA=="})),
        ];
        for (bytes, expected) in cases {
            assert_eq!(to_json(bytes).as_ref(), Some(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_not_messagepack_is_none() {
        for bytes in [&b""[..], b"\xc1", b"\x01\x01", b"\xa5hi", b"\xdd\xff\xff\xff\xff", b"\xa1\xff", &[0x91; 10_000]] {
            assert_eq!(to_json(bytes), None, "{:x?}", &bytes[..bytes.len().min(8)]);
        }
    }
}
