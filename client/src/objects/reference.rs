//! Handles as values: an object's kind, name and epoch travel, and whoever reads them has a live handle by a session of its own.
//!
//! serde knows no session, so it stands in the thread while the SDK reads a value. The broker is told of each handle that is read: an
//! ephemeral object stays until nobody in this session, too, has a handle of it.

use super::Handle;
use crate::{Encode, Manager, Payload, Raw, call};
use bursar_proto::v1;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::cell::RefCell;

thread_local! {
    static READER: RefCell<Option<Manager>> = const { RefCell::new(None) };
}

/// Reads a value; handles in it are of this session.
pub(crate) fn within<R>(manager: &Manager, read: impl FnOnce() -> R) -> R {
    /// Puts back what was there before, also if reading panics.
    struct Before(Option<Manager>);

    impl Drop for Before {
        fn drop(&mut self) {
            READER.replace(self.0.take());
        }
    }

    let _before = Before(READER.replace(Some(manager.clone())));
    read()
}

/// A handle as it is written: `{"bursar.handle": {"kind": "queue", "name": "jobs", "epoch": 7}}`.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "bursar.handle")]
    handle: Reference,
}

/// What names an object, or a part of one.
#[derive(Serialize, Deserialize)]
pub(super) struct Reference {
    kind: String,
    name: String,
    epoch: u64,
    /// Which key of a store, which end of a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    /// How many numbers an array has, and of which type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    array: Option<(u64, String)>,
}

impl Reference {
    pub fn new(kind: &str, handle: &Handle) -> Reference {
        let (name, epoch) = (handle.name().to_owned(), handle.epoch());
        Reference { kind: kind.to_owned(), name, epoch, part: None, array: None }
    }

    pub fn with_part(self, part: &str) -> Reference {
        Reference { part: Some(part.to_owned()), ..self }
    }

    pub fn with_array(self, length: u64, r#type: &str) -> Reference {
        Reference { array: Some((length, r#type.to_owned())), ..self }
    }

    pub fn write<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { handle: self }.serialize(serializer)
    }

    /// A handle of the session that reads, to an object of this kind.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D, kind: &str) -> Result<(Handle, Reference), D::Error> {
        let Written { handle: reference } = Written::deserialize(deserializer)?;
        if reference.kind != kind {
            return Err(D::Error::custom(format!("expected a handle of kind {kind}, got one of kind {}", reference.kind)));
        }
        let manager = READER.with_borrow(Option::clone).ok_or_else(|| {
            D::Error::custom(
                "a handle can be read only as part of what comes from a broker: it belongs to the session that reads it",
            )
        })?;
        let name = reference.name.parse().map_err(D::Error::custom)?;
        // Refused, or of another epoch, the object is gone: every use of the handle says so.
        let request = v1::registry::OpenRequest {
            name: reference.name.clone(),
            mode: v1::registry::Mode::Open.into(),
            options: None,
            ephemeral: false,
        };
        let handle = Handle::of(manager, name, reference.epoch, kind);
        call::tell(handle.manager().session(), request);
        Ok((handle, reference))
    }

    /// Which key, or which end.
    pub fn part(self) -> Result<String, String> {
        self.part.ok_or_else(|| format!("the handle of kind {} does not say which part of the object it is", self.kind))
    }

    /// Length and type of an array.
    pub fn array(self) -> Result<(u64, String), String> {
        self.array.ok_or_else(|| "the handle of an array does not say its length and type".to_owned())
    }
}

/// What whoever reads it has as a live handle of an object of one's own.
pub fn object(name: &str, epoch: u64) -> Raw {
    let (kind, name) = ("object".to_owned(), name.to_owned());
    let written = Written { handle: Reference { kind, name, epoch, part: None, array: None } };
    written.encode().expect("names and numbers can be written")
}

/// Name and epoch of what is nothing but a handle of an object of one's own.
pub fn as_object(raw: Raw) -> Option<(String, u64)> {
    let Written { handle: Reference { kind, name, epoch, .. } } = Written::decode(raw).ok()?;
    (kind == "object").then_some((name, epoch))
}

/// A handle can be a value, or a part of one: `$write` says what names it, `$read` makes it of what was read.
macro_rules! travels {
    ($object:ident $(<$value:ident>)?, $kind:literal, $of:expr) => {
        $crate::objects::reference::travels!(
            $object $(<$value>)?, $kind,
            |object| $crate::objects::reference::Reference::new($kind, &object.handle),
            |handle, _| Ok($of(handle))
        );
    };
    ($object:ident $(<$value:ident $(: $bound:path)?>)?, $kind:literal, $write:expr, $read:expr) => {
        impl $(<$value $(: $bound)?>)? serde::Serialize for $object $(<$value>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let write: fn(&Self) -> $crate::objects::reference::Reference = $write;
                write(self).write(serializer)
            }
        }

        impl<'de $(, $value $(: $bound)?)?> serde::Deserialize<'de> for $object $(<$value>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (handle, reference) = $crate::objects::reference::Reference::read(deserializer, $kind)?;
                let read: fn(_, $crate::objects::reference::Reference) -> Result<Self, String> = $read;
                read(handle, reference).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use travels;
