//! One argument of a call as it stands on the command line, and as the value that is sent.

use super::super::failure::Failure;
use bursar::Raw;
use serde_json::Value;

/// `name=text`, or `name:=json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub name: String,
    text: String,
    is_json: bool,
}

/// Reads one argument of the command line.
pub fn given(text: &str) -> Result<Given, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=TEXT, such as sku=apple, or NAME:=JSON".to_owned());
    };
    let (name, is_json) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
    match name {
        "" => Err("expected the argument's name in front of =".to_owned()),
        name => Ok(Given { name: name.to_owned(), text: value.to_owned(), is_json }),
    }
}

impl Given {
    /// The value, for a parameter of this type; an empty type is one that nobody has told.
    pub fn read(&self, kind: &str) -> Result<Raw, Failure> {
        let Given { name, text, is_json } = self;
        if !is_json && kind == "bytes" {
            return Ok(Raw::from(text.clone().into_bytes()));
        }
        let value = match (serde_json::from_str::<Value>(text), is_json) {
            (Ok(value), true) => value,
            (Err(error), true) => return Err(Failure::usage(format!("{name}: expected JSON, found {text:?}: {error}"))),
            (Ok(value), false) if kind != "string" && is_of(&value, kind) => value,
            (_, false) if ["integer", "number", "boolean", "array", "object"].contains(&kind) => {
                return Err(Failure::usage(format!("{name}: expected {}, found {text:?}", what(kind))));
            }
            // Text that is no JSON is text, and so is what a method takes as text.
            _ => Value::String(text.clone()),
        };
        Ok(Raw { data: value.to_string().into(), codec: Raw::JSON })
    }
}

/// Whether a value is of a type; of a type that only its provider knows, every value may be.
fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn what(kind: &str) -> &'static str {
    match kind {
        "integer" => "an integer, such as 7",
        "number" => "a number, such as 2.5",
        "boolean" => "true or false",
        "array" => "a JSON array, such as '[1, 2]'",
        _ => "a JSON object, such as '{\"a\": 1}'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: &str) -> Result<String, String> {
        let raw = given(text)?.read(kind).map_err(|failure| failure.message)?;
        Ok(format!("{}:{}", raw.codec, String::from_utf8_lossy(&raw.data)))
    }

    #[test]
    fn text_becomes_what_the_method_takes() {
        let cases = [
            ("n=7", "integer", "2:7"),
            ("n=7", "string", "2:\"7\""),
            ("n=7", "", "2:7"),
            ("n=seven", "", "2:\"seven\""),
            ("n=2.5", "number", "2:2.5"),
            ("n=true", "boolean", "2:true"),
            ("n=a=b", "string", "2:\"a=b\""),
            ("n=", "string", "2:\"\""),
            ("n=[1]", "array", "2:[1]"),
            ("n={\"a\":1}", "Level", "2:{\"a\":1}"),
            ("n=\u{e9}", "bytes", "0:\u{e9}"),
            ("n:=[1, 2]", "string", "2:[1,2]"),
        ];
        for (text, kind, expected) in cases {
            assert_eq!(read(text, kind).as_deref(), Ok(expected), "{text} as {kind:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_was_expected() {
        let cases = [
            ("n=x", "integer", "n: expected an integer, such as 7, found \"x\""),
            ("n=1.5", "integer", "n: expected an integer, such as 7, found \"1.5\""),
            ("n=1", "boolean", "n: expected true or false, found \"1\""),
            ("n", "integer", "expected NAME=TEXT, such as sku=apple, or NAME:=JSON"),
            ("=1", "integer", "expected the argument's name in front of ="),
        ];
        for (text, kind, expected) in cases {
            assert_eq!(read(text, kind), Err(expected.to_owned()), "{text} as {kind:?}");
        }
        assert!(read("n:=x", "any").unwrap_err().starts_with("n: expected JSON, found \"x\": "));
    }
}
