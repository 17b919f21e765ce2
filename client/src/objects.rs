//! The objects: one file per kind, and what all kinds share.

pub mod array;
pub mod barrier;
pub mod channel;
mod chunk;
pub mod condition;
pub mod counter;
pub(crate) mod deadline;
pub mod event;
pub(crate) mod fence;
mod held;
pub mod kv;
pub mod latch;
pub mod list;
pub mod lock;
pub mod message;
pub mod namespace;
pub mod object;
mod opened;
pub mod queue;
pub(crate) mod reference;
pub(crate) mod registry;
pub mod rwlock;
pub mod semaphore;
pub(crate) mod slice;
pub mod topic;
pub mod txn;
pub(crate) mod usage;
pub(crate) mod value;
pub mod waits;

pub(crate) use fence::Fence;

use crate::{
    CodecError, Encode, Error, Manager, Payload, Raw, Result,
    call::{self, Verb},
};
use bursar_proto::{Fault, Name, kind_of, limits, v1};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use usage::Usage;

/// One object of one epoch, as this session opened it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    opened: Arc<Opened>,
    /// Goes with every request that can carry one.
    fence: Option<Arc<Fence>>,
}

#[derive(Debug)]
struct Opened {
    manager: Manager,
    name: Name,
    epoch: u64,
    created: bool,
    _usage: Option<Usage>,
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
        let (handle, _) = self.open_and_see(mode, options).await?;
        Ok(handle)
    }

    /// With the options that the object has, in full.
    pub async fn open_and_see(
        self,
        mode: v1::registry::Mode,
        options: v1::registry::options::Kind,
    ) -> Result<(Handle, v1::registry::Options)> {
        let Wanted { manager, name, ephemeral } = self;
        let name: Name = name.parse().map_err(|fault| Error::refused(fault, v1::registry::OpenRequest::CALL, &name))?;
        let wanted = v1::registry::Options { kind: Some(options) };
        let expected_kind = kind_name(Some(&wanted));
        // `Open` takes the object as it is; only its kind has to be the handle's, which the reply tells.
        let options = (mode != v1::registry::Mode::Open).then_some(wanted);
        let request = v1::registry::OpenRequest { name: name.to_string(), mode: mode.into(), options, ephemeral };
        let mut usage = Usage::begin(manager.session(), &name, expected_kind);
        let reply = call::call(manager.session(), request).await;
        if let Some(usage) = &mut usage {
            usage.is_ephemeral = reply.as_ref().is_ok_and(|reply| reply.ephemeral);
        }
        let v1::registry::OpenReply { epoch, created, options: actual, ephemeral: _ } = reply?;
        let actual_kind = kind_name(actual.as_ref());
        if actual_kind != expected_kind {
            return Err(mismatch(name.as_str(), "kind", expected_kind, actual_kind));
        }
        let opened = Arc::new(Opened { manager, name, epoch, created, _usage: usage });
        Ok((Handle { opened, fence: None }, actual.unwrap_or_default()))
    }
}

/// The object is another than the one that was to be opened.
pub(crate) fn mismatch(name: &str, what: &str, expected: &str, actual: &str) -> Error {
    let (what, expected, actual) = (what.to_owned(), expected.to_owned(), actual.to_owned());
    let fault = Fault::Mismatch { name: name.to_owned(), what, expected, actual };
    Error::refused(fault, v1::registry::OpenRequest::CALL, name)
}

impl Handle {
    /// Of an object that somebody else has opened, before the broker is told that this session opens it, too.
    pub fn of(manager: Manager, name: Name, epoch: u64, kind: &str) -> Handle {
        let usage = Usage::begin(manager.session(), &name, kind);
        Handle { opened: Arc::new(Opened { manager, name, epoch, created: false, _usage: usage }), fence: None }
    }

    pub fn name(&self) -> &str {
        self.opened.name.as_str()
    }

    pub fn epoch(&self) -> u64 {
        self.opened.epoch
    }

    pub fn created(&self) -> bool {
        self.opened.created
    }

    pub fn manager(&self) -> &Manager {
        &self.opened.manager
    }

    /// Whether both are the same object in the same session.
    pub fn is_same(&self, other: &Handle) -> bool {
        let is_equal = || {
            let same_session = Arc::ptr_eq(self.manager().session(), other.manager().session());
            same_session && self.epoch() == other.epoch() && self.name() == other.name()
        };
        Arc::ptr_eq(&self.opened, &other.opened) || is_equal()
    }

    /// The same object, under a fence.
    pub fn fenced(&self, fence: &Fence) -> Handle {
        Handle { opened: self.opened.clone(), fence: Some(Arc::new(fence.clone())) }
    }

    /// Whether requests through this handle are under the fence that those through the other one are under, if any.
    pub fn is_under_fence_of(&self, other: &Handle) -> bool {
        other.fence.is_none() || self.fence == other.fence
    }

    /// The fence in a request.
    pub fn fence(&self) -> Option<v1::Fence> {
        self.fence.as_ref().map(|fence| fence.to_wire())
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

    /// Refuses a request of many values that is far beyond the broker's limit for one: it would end the session.
    pub fn check_size<V: Verb + prost::Message>(&self, request: &V) -> Result<()> {
        check_size(self.manager(), self.name(), request)
    }

    /// The bytes of a value, within the broker's limit.
    pub fn encode<T: Encode + ?Sized>(&self, value: &T, call: &'static str) -> Result<Raw> {
        let raw = value.encode().map_err(|source| self.codec_error(source))?;
        let limit = self.manager().session().payload_bytes_max();
        let size = raw.data.len() as u64;
        if size > limit {
            let fault = Fault::TooLarge { what: "the payload".to_owned(), size, limit };
            return Err(Error::refused(fault, call, self.name()));
        }
        Ok(raw)
    }

    /// The value of bytes. Handles in it become live by this session.
    pub fn decode<T: Payload>(&self, raw: Raw) -> Result<T> {
        reference::within(self.manager(), || T::decode(raw)).map_err(|source| self.codec_error(source))
    }

    pub fn codec_error(&self, source: CodecError) -> Error {
        Error::Codec { object: self.name().to_owned(), source }
    }
}

/// See [`Handle::check_size`].
pub(crate) fn check_size<V: Verb + prost::Message>(manager: &Manager, object: &str, request: &V) -> Result<()> {
    let limit = request_bytes_max(manager);
    let size = request.encoded_len() as u64;
    if size > limit {
        return Err(Error::refused(Fault::TooLarge { what: "the request".to_owned(), size, limit }, V::CALL, object));
    }
    Ok(())
}

/// The largest payload, and what stands around it.
pub(crate) fn request_bytes_max(manager: &Manager) -> u64 {
    manager.session().payload_bytes_max() + limits::FRAME_BYTES_MAX as u64
}

/// Whether something that is held is settled; shared with the transaction that may settle it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled(Arc<AtomicBool>);

impl Settled {
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
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
