//! The array: a fixed number of numbers of one type.

mod number;

pub use number::Number;

use super::{
    Handle, Wanted, mismatch,
    reference::{Reference, travels},
    slice::Slice,
};
use crate::{Error, Manager, Result, call::Verb};
use bursar_proto::v1::{
    array as wire,
    registry::{Mode, options::Kind},
};
use std::{fmt, marker::PhantomData};

/// Numbers of one request and of one reply.
const NUMBERS_MAX: u64 = 1_000_000;

/// Numbers of one type, as many as it was created with and all 0 at the beginning, shared by every process that opens its name.
///
/// Indices count from 0, negative ones from the end; one outside is the fault `OutOfRange`. Each verb is one step.
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Array, Fault, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let hits: Array<u16> = manager.array("hits").length(24).open_or_create().await?;
/// assert_eq!(hits.add(9, 2).await?, 2);
/// hits.set_range(22.., &[7, u16::MAX]).await?;
/// assert_eq!(hits.get_range(-3..).await?, [0, 7, u16::MAX]);
/// let error = hits.add(-1, 1).await.unwrap_err();
/// assert!(matches!(error.fault(), Some(Fault::CounterOverflow { .. })), "nothing wraps: {error}");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Array<N> {
    handle: Handle,
    len: u64,
    numbers: PhantomData<fn(N) -> N>,
}

travels!(
    Array<N: Number>,
    "array",
    |array| Reference::new("array", &array.handle).with_array(array.len, N::TYPE.as_str_name()),
    |handle, reference| match reference.array()? {
        (len, numbers) if numbers == N::TYPE.as_str_name() => Ok(Array { handle, len, numbers: PhantomData }),
        (_, numbers) => Err(format!("expected an array of {}, got one of {numbers}", N::TYPE.as_str_name())),
    }
);

impl<N> Clone for Array<N> {
    fn clone(&self) -> Array<N> {
        Array { handle: self.handle.clone(), len: self.len, numbers: PhantomData }
    }
}

impl<N> fmt::Debug for Array<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, epoch) = (self.name(), self.epoch());
        formatter.debug_struct("Array").field("name", &name).field("epoch", &epoch).field("len", &self.len).finish()
    }
}

/// What an array is to be, before it is opened: its numbers are of the type `N`.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Array, Fault};
///
/// let weights: Array<f64> = manager.array("weights").length(3).create().await?;
/// let error = manager.array::<f32>("weights").open().await.unwrap_err();
/// assert!(matches!(error.fault(), Some(Fault::Mismatch { .. })), "they are of another type: {error}");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder<N> {
    wanted: Wanted,
    length: u64,
    numbers: PhantomData<fn(N) -> N>,
}

impl<N: Number> Builder<N> {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder<N> {
        Builder { wanted: Wanted::new(manager, name), length: 0, numbers: PhantomData }
    }

    /// How many numbers: 1 to 16,777,216. Needed to create it.
    pub fn length(mut self, numbers: u64) -> Builder<N> {
        self.length = numbers;
        self
    }

    /// The array goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Builder<N> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the array, and creates it if no object has the name. Faults: `Mismatch`, when an object has the name and is of another
    /// kind, type or length; `BadArgument`, when the length is missing.
    pub async fn open_or_create(self) -> Result<Array<N>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the array. Faults: `AlreadyExists`; `BadArgument`, when the length is missing.
    pub async fn create(self) -> Result<Array<N>> {
        self.ask(Mode::Create).await
    }

    /// Opens the array as it is, whatever its length. Faults: `NoSuchObject`; `Mismatch`, when it is no array, or its numbers are of
    /// another type.
    pub async fn open(self) -> Result<Array<N>> {
        self.ask(Mode::Open).await
    }

    async fn ask(self, mode: Mode) -> Result<Array<N>> {
        let wanted = wire::Options { r#type: N::TYPE.into(), length: self.length };
        let (handle, options) = self.wanted.open_and_see(mode, Kind::Array(wanted)).await?;
        let Some(Kind::Array(wire::Options { r#type, length })) = options.kind else {
            return Err(Error::protocol("objects.open: an array without its options"));
        };
        if r#type != i32::from(N::TYPE) {
            let actual = wire::Type::try_from(r#type).unwrap_or(wire::Type::Unspecified);
            return Err(mismatch(handle.name(), "type", N::TYPE.as_str_name(), actual.as_str_name()));
        }
        Ok(Array { handle, len: length, numbers: PhantomData })
    }
}

impl<N> Array<N> {
    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.handle.created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    /// How many numbers it has, always.
    #[allow(clippy::len_without_is_empty, reason = "an array is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }
}

impl<N: Number> Array<N> {
    /// One number. Fault: `OutOfRange`.
    pub async fn get(&self, index: i64) -> Result<N> {
        let numbers = self.get_range(one(index)).await?;
        match numbers[..] {
            [number] => Ok(number),
            _ => Err(self.out_of_range::<wire::GetRequest>(index)),
        }
    }

    /// Sets one number. Fault: `OutOfRange`.
    pub async fn set(&self, index: i64, number: N) -> Result<()> {
        if !self.has(index) {
            return Err(self.out_of_range::<wire::SetRequest>(index));
        }
        self.set_range(one(index), &[number]).await
    }

    /// Adds to one number, in one step, and gives the sum; to subtract from an unsigned one, set it. Faults: `OutOfRange`;
    /// `CounterOverflow`, when the sum leaves the range of `N`.
    pub async fn add(&self, index: i64, by: N) -> Result<N> {
        let request = wire::AddRequest { object: self.handle.object(), index, by: Some(N::pack(&[by])) };
        let wire::AddReply { number } = self.handle.call(request).await?;
        match unpack::<wire::AddRequest, N>(number)?[..] {
            [sum] => Ok(sum),
            _ => Err(Error::protocol(format!("{}: not one number in the reply", wire::AddRequest::CALL))),
        }
    }

    /// The numbers of a part of the array, as they were at one moment. Fault: `BadArgument`, when they are more than 1,000,000.
    pub async fn get_range(&self, slice: impl Into<Slice>) -> Result<Vec<N>> {
        let request = wire::GetRequest { object: self.handle.object(), slice: Some(slice.into().to_wire()) };
        let wire::GetReply { numbers } = self.handle.call(request).await?;
        unpack::<wire::GetRequest, N>(numbers)
    }

    /// Sets the numbers of a part of the array, in one step. Fault: `BadArgument`, when they are not as many as the slice has, or more
    /// than 1,000,000.
    pub async fn set_range(&self, slice: impl Into<Slice>, numbers: &[N]) -> Result<()> {
        let (object, slice) = (self.handle.object(), Some(slice.into().to_wire()));
        let wire::SetReply {} = self.handle.call(wire::SetRequest { object, slice, numbers: Some(N::pack(numbers)) }).await?;
        Ok(())
    }

    /// All numbers. More than 1,000,000 are read in pages, and changes between them show.
    pub async fn to_vec(&self) -> Result<Vec<N>> {
        let mut numbers = Vec::new();
        for start in (0..self.len).step_by(NUMBERS_MAX as usize) {
            let stop = (start + NUMBERS_MAX).min(self.len);
            numbers.extend(self.get_range(start as i64..stop as i64).await?);
        }
        Ok(numbers)
    }

    fn has(&self, index: i64) -> bool {
        let len = self.len as i64;
        (-len..len).contains(&index)
    }

    fn out_of_range<V: Verb>(&self, index: i64) -> Error {
        Error::refused(bursar_proto::Fault::OutOfRange { index, len: self.len }, V::CALL, self.name())
    }
}

/// The slice of one index; of the last one it is open.
fn one(index: i64) -> Slice {
    Slice::from(index..=index)
}

fn unpack<V: Verb, N: Number>(numbers: Option<wire::Numbers>) -> Result<Vec<N>> {
    let numbers = numbers.and_then(|numbers| N::unpack(numbers.numbers?));
    numbers.ok_or_else(|| Error::protocol(format!("{}: numbers of another type in the reply", V::CALL)))
}
