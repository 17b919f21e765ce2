//! Python's indices and slices, as positions in a sequence of a certain length. It knows nothing of what the sequence is made of.

use bursar_proto::{Fault, v1};

/// `[start:stop:step]`: absent bounds reach to the end, negative ones count from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    start: Option<i64>,
    stop: Option<i64>,
    /// Not 0.
    step: i64,
}

/// The positions `at`, `at + step`, ... of which there are `count`, all of them within the sequence. An empty span with step 1
/// stands in front of `at`, which may be the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub at: usize,
    /// Not 0.
    pub step: i64,
    /// How many.
    pub count: usize,
}

impl Slice {
    /// The whole sequence.
    pub const ALL: Slice = Slice { start: None, stop: None, step: 1 };

    /// From one index up to another.
    pub fn between(start: Option<i64>, stop: Option<i64>) -> Slice {
        Slice { start, stop, step: 1 }
    }

    /// As it came; absent: the whole sequence.
    pub fn read(slice: Option<v1::Slice>) -> Result<Slice, Fault> {
        let Some(v1::Slice { start, stop, step }) = slice else { return Ok(Slice::ALL) };
        match step.unwrap_or(1) {
            0 => Err(Fault::bad_argument("step", "expected a step forwards or backwards, got 0")),
            step => Ok(Slice { start, stop, step }),
        }
    }

    /// Which positions this is in a sequence of this length, as Python's `slice.indices`.
    pub fn of(self, len: usize) -> Span {
        let Slice { start, stop, step } = self;
        let len = len as i64;
        // Backwards, the place in front of the first one is a place too.
        let (first, last) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let bound = |bound: i64| if bound < 0 { (bound + len).max(first) } else { bound.min(last) };
        let (from, to) = if step > 0 { (first, last) } else { (last, first) };
        let (start, stop) = (start.map_or(from, bound), stop.map_or(to, bound));
        let distance = if step > 0 { stop - start } else { start - stop }.max(0) as u64;
        let count = distance.div_ceil(step.unsigned_abs()) as usize;
        Span { at: start.max(0) as usize, step, count }
    }
}

impl Span {
    /// The positions, in the order of the slice.
    pub fn positions(self) -> impl Iterator<Item = usize> {
        let Span { at, step, count } = self;
        (0..count).map(move |n| (at as i64 + n as i64 * step) as usize)
    }

    /// Without the first `skip` positions.
    pub fn behind(self, skip: u64) -> Span {
        let Span { at, step, count } = self;
        match usize::try_from(skip) {
            Ok(skip) if skip < count => Span { at: (at as i64 + skip as i64 * step) as usize, step, count: count - skip },
            _ => Span { at, step, count: 0 },
        }
    }

    /// The same positions from the lowest to the highest.
    pub fn ascending(self) -> Span {
        let Span { at, step, count } = self;
        match (step, count) {
            (..0, 1..) => Span { at: (at as i64 + (count as i64 - 1) * step) as usize, step: step.saturating_neg(), count },
            _ => self,
        }
    }
}

/// The position of an index: negative ones count from the end. OutOfRange where there is nothing.
pub fn position(index: i64, len: usize) -> Result<usize, Fault> {
    let position = if index < 0 { index + len as i64 } else { index };
    match usize::try_from(position) {
        Ok(position) if position < len => Ok(position),
        _ => Err(Fault::OutOfRange { index, len: len as u64 }),
    }
}

/// Where something is inserted in front of an index: one outside is the nearer end.
pub fn insertion(index: i64, len: usize) -> usize {
    Slice::between(Some(index), None).of(len).at
}

/// The text of Python's documentation, in numbers that cannot overflow: the positions one after the other.
#[cfg(test)]
pub fn reference(start: Option<i64>, stop: Option<i64>, step: i64, len: usize) -> Vec<usize> {
    let (len, step) = (len as i128, i128::from(step));
    let clamp = |bound: i64| {
        let bound = if bound < 0 { i128::from(bound) + len } else { i128::from(bound) };
        if step > 0 { bound.clamp(0, len) } else { bound.clamp(-1, len - 1) }
    };
    let mut at = start.map_or(if step > 0 { 0 } else { len - 1 }, clamp);
    let stop = stop.map_or(if step > 0 { len } else { -1 }, clamp);
    let mut positions = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        positions.push(usize::try_from(at).unwrap());
        at += step;
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_slice_is_what_python_says() {
        let bounds: Vec<Option<i64>> = [None, Some(i64::MIN), Some(i64::MAX)].into_iter().chain((-8..=8).map(Some)).collect();
        let steps = (-8..=8).chain([i64::MIN, i64::MIN + 1, i64::MAX]).filter(|step| *step != 0);
        for step in steps {
            for (start, stop) in bounds.iter().flat_map(|start| bounds.iter().map(move |stop| (*start, *stop))) {
                for len in 0..7 {
                    let expected = reference(start, stop, step, len);
                    let span = Slice { start, stop, step }.of(len);
                    let what = format!("[{start:?}:{stop:?}:{step}] of {len}");
                    assert_eq!(span.positions().collect::<Vec<_>>(), expected, "{what}");
                    for skip in 0..8 {
                        let rest = expected.iter().skip(skip as usize).copied().collect::<Vec<_>>();
                        assert_eq!(span.behind(skip).positions().collect::<Vec<_>>(), rest, "{what} behind {skip}");
                    }
                    let mut sorted = expected;
                    sorted.sort_unstable();
                    assert_eq!(span.ascending().positions().collect::<Vec<_>>(), sorted, "{what}");
                }
            }
        }
    }

    /// `[5:2]` of ten values is the place in front of the fifth, where values can be assigned to.
    #[test]
    fn an_empty_slice_has_a_place() {
        let place = |start, stop, len| Slice::between(start, stop).of(len).at;
        assert_eq!(place(Some(5), Some(2), 10), 5);
        assert_eq!(place(Some(50), None, 10), 10);
        assert_eq!(place(Some(-50), Some(0), 10), 0);
        assert_eq!(place(Some(3), Some(3), 10), 3);
    }

    #[test]
    fn indices_are_within_or_refused_and_insertions_are_clamped() {
        for (index, expected) in [(0, Some(0)), (2, Some(2)), (-1, Some(2)), (-3, Some(0)), (3, None), (-4, None)] {
            assert_eq!(position(index, 3).ok(), expected, "{index}");
        }
        assert_eq!(position(i64::MIN, 3), Err(Fault::OutOfRange { index: i64::MIN, len: 3 }));
        assert_eq!(position(-1, 0), Err(Fault::OutOfRange { index: -1, len: 0 }));
        for (index, expected) in [(0, 0), (3, 3), (4, 3), (i64::MAX, 3), (-1, 2), (-3, 0), (-4, 0), (i64::MIN, 0)] {
            assert_eq!(insertion(index, 3), expected, "{index}");
        }
    }

    #[test]
    fn a_step_of_nothing_is_refused() {
        let read = |step| Slice::read(Some(v1::Slice { start: Some(1), stop: None, step }));
        assert!(matches!(read(Some(0)), Err(Fault::BadArgument { argument, .. }) if argument == "step"));
        assert_eq!(read(None), Ok(Slice { start: Some(1), stop: None, step: 1 }));
        assert_eq!(Slice::read(None), Ok(Slice::ALL));
    }
}
