//! Parts of a sequence, as Python cuts them.

use bursar_proto::v1;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// Which part of a [`List`](crate::List) or [`Array`](crate::Array) is meant: Python's `[start:stop:step]`.
///
/// An absent bound reaches to the end, a negative one counts from it, and one outside means the nearer end. A Rust range is a slice:
/// `1..`, `..-1` and `2..=5` are Python's `[1:]`, `[:-1]` and `[2:6]`.
///
/// ```
/// use bursar::Slice;
///
/// assert_eq!(Slice::from(1..-1), Slice { start: Some(1), stop: Some(-1), step: None });
/// assert_eq!(Slice::from(..).step(-1), Slice { start: None, stop: None, step: Some(-1) });
/// assert_eq!(Slice::from(-3..=-1), Slice::from(-3..));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The first index.
    pub start: Option<i64>,
    /// The index behind the last one.
    pub stop: Option<i64>,
    /// From one index to the next; absent: 1. Negative ones go backwards, and 0 is the fault `BadArgument`.
    pub step: Option<i64>,
}

impl Slice {
    /// The same bounds with this step.
    pub fn step(self, step: i64) -> Slice {
        Slice { step: Some(step), ..self }
    }

    pub(crate) fn to_wire(self) -> v1::Slice {
        let Slice { start, stop, step } = self;
        v1::Slice { start, stop, step }
    }
}

/// The index behind an inclusive end; behind the last one, -1, there is none.
fn behind(end: i64) -> Option<i64> {
    match end {
        -1 | i64::MAX => None,
        end => Some(end + 1),
    }
}

impl From<Range<i64>> for Slice {
    fn from(range: Range<i64>) -> Slice {
        Slice { start: Some(range.start), stop: Some(range.end), step: None }
    }
}

impl From<RangeInclusive<i64>> for Slice {
    fn from(range: RangeInclusive<i64>) -> Slice {
        Slice { start: Some(*range.start()), stop: behind(*range.end()), step: None }
    }
}

impl From<RangeFrom<i64>> for Slice {
    fn from(range: RangeFrom<i64>) -> Slice {
        Slice { start: Some(range.start), ..Slice::default() }
    }
}

impl From<RangeTo<i64>> for Slice {
    fn from(range: RangeTo<i64>) -> Slice {
        Slice { stop: Some(range.end), ..Slice::default() }
    }
}

impl From<RangeToInclusive<i64>> for Slice {
    fn from(range: RangeToInclusive<i64>) -> Slice {
        Slice { stop: behind(range.end), ..Slice::default() }
    }
}

impl From<RangeFull> for Slice {
    fn from(_: RangeFull) -> Slice {
        Slice::default()
    }
}
