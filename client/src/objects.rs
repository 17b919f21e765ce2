//! The objects: one file per kind, and what all kinds share.

pub mod kv;
pub mod queue;
pub(crate) mod registry;

use crate::{
    CodecError, Error, Manager, Payload, Raw, Result,
    call::{self, Verb},
};
use bursar_proto::{Fault, Name, kind_of, v1};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One object of one epoch, as this session opened it.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    manager: Manager,
    name: Name,
    epoch: u64,
    created: bool,
}

/// What a builder asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub manager: Manager,
    pub name: String,
    pub ephemeral: bool,
}

impl Wanted {
    pub fn new(manager: Manager, name: &str) -> Wanted {
        Wanted { manager, name: name.to_owned(), ephemeral: false }
    }

    pub async fn open(self, mode: v1::registry::Mode, options: v1::registry::options::Kind) -> Result<Handle> {
        let Wanted { manager, name, ephemeral } = self;
        let name: Name = name.parse().map_err(|fault| Error::refused(fault, v1::registry::OpenRequest::CALL, &name))?;
        let wanted = v1::registry::Options { kind: Some(options) };
        // `Open` takes the object as it is; only its kind has to be the handle's, which the reply tells.
        let options = (mode != v1::registry::Mode::Open).then_some(wanted);
        let request = v1::registry::OpenRequest { name: name.to_string(), mode: mode.into(), options, ephemeral };
        let v1::registry::OpenReply { epoch, created, options: actual } = call::call(manager.session(), request).await?;
        let (expected, actual) = (kind_name(Some(&wanted)), kind_name(actual.as_ref()));
        if actual != expected {
            let (name, what, expected, actual) = (name.to_string(), "kind".to_owned(), expected.to_owned(), actual.to_owned());
            let fault = Fault::Mismatch { name: name.clone(), what, expected, actual };
            return Err(Error::refused(fault, v1::registry::OpenRequest::CALL, name));
        }
        Ok(Handle(Arc::new(Opened { manager, name, epoch, created })))
    }
}

impl Handle {
    pub fn name(&self) -> &str {
        self.0.name.as_str()
    }

    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    pub fn created(&self) -> bool {
        self.0.created
    }

    pub fn manager(&self) -> &Manager {
        &self.0.manager
    }

    /// Whether both are the same object in the same session.
    pub fn is_same(&self, other: &Handle) -> bool {
        let is_equal = || {
            let same_session = Arc::ptr_eq(self.manager().session(), other.manager().session());
            same_session && self.epoch() == other.epoch() && self.name() == other.name()
        };
        Arc::ptr_eq(&self.0, &other.0) || is_equal()
    }

    /// The object in a request.
    pub fn object(&self) -> Option<v1::ObjectRef> {
        Some(v1::ObjectRef { name: self.name().to_owned(), epoch: self.epoch() })
    }

    pub async fn call<V: Verb>(&self, request: V) -> Result<V::Reply> {
        call::call(self.manager().session(), request).await
    }

    /// Sends a request whose reply nobody needs.
    pub fn tell<V: Verb>(&self, request: V) {
        call::tell(self.manager().session(), request);
    }

    /// The bytes of a value, within the broker's limit.
    pub fn encode<T: Payload>(&self, value: &T, call: &'static str) -> Result<Raw> {
        let raw = value.encode().map_err(|source| self.codec_error(source))?;
        let limit = self.manager().session().payload_bytes_max();
        let size = raw.data.len() as u64;
        if size > limit {
            let fault = bursar_proto::Fault::TooLarge { what: "the payload".to_owned(), size, limit };
            return Err(Error::refused(fault, call, self.name()));
        }
        Ok(raw)
    }

    pub fn decode<T: Payload>(&self, raw: Raw) -> Result<T> {
        T::decode(raw).map_err(|source| self.codec_error(source))
    }

    pub fn codec_error(&self, source: CodecError) -> Error {
        Error::Codec { object: self.name().to_owned(), source }
    }
}

fn kind_name(options: Option<&v1::registry::Options>) -> &'static str {
    options.and_then(kind_of).unwrap_or("of a kind that this version does not know")
}

/// A duration on the wire; below a millisecond is rounded up, so that a short one does not become none.
pub(crate) fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A moment on the wire: milliseconds since 1970.
pub(crate) fn to_time(unix_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}
