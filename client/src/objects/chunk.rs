//! What one request carries of many things: as much as one frame takes, or one thing that is larger by itself.

use bursar_proto::limits;
use prost::Message;

/// Encoded parts of one request; with what stands around them they stay below the size of a frame.
const CHUNK_BYTES_MAX: usize = limits::FRAME_BYTES_MAX - 1024;

/// The parts of one request.
pub(super) struct Chunk<M> {
    parts: Vec<M>,
    bytes: usize,
}

impl<M: Message> Chunk<M> {
    /// The first chunk of what is left, and what stands in front of the rest: `next` first, then what `parts` gives.
    pub fn fill<E>(next: &mut Option<M>, parts: &mut impl Iterator<Item = Result<M, E>>) -> Result<Vec<M>, E> {
        let mut chunk = Chunk { parts: Vec::new(), bytes: 0 };
        while let Some(part) = next.take().map(Ok).or_else(|| parts.next()) {
            *next = chunk.push(part?);
            if next.is_some() {
                break;
            }
        }
        Ok(chunk.parts)
    }

    /// Gives the part back if it belongs into the next one.
    fn push(&mut self, part: M) -> Option<M> {
        let bytes = part.encoded_len();
        let is_full = self.parts.len() >= limits::FRAME_ENTRIES_MAX || self.bytes + bytes > CHUNK_BYTES_MAX;
        if is_full && !self.parts.is_empty() {
            return Some(part);
        }
        self.parts.push(part);
        self.bytes += bytes;
        None
    }
}

/// How much the next request carries of what is there. Whoever waits for room gets little of it at a time: to send all the rest again for each
/// place that comes free would carry every part about as often as there are others behind it.
pub(super) struct Pace(usize);

impl Pace {
    /// Everything at first.
    pub fn new() -> Pace {
        Pace(usize::MAX)
    }

    /// The first of what is left.
    pub fn first_of<'a, M>(&self, left: &'a [M]) -> &'a [M] {
        &left[..self.0.min(left.len())]
    }

    /// So many were taken of those that were asked for: of a part twice as many are worth asking for next time, of all twice those.
    pub fn taken(&mut self, count: usize) {
        self.0 = count.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn lengths(parts: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let (mut next, mut lengths) = (None, Vec::new());
        let mut parts = parts.into_iter().map(|size| Ok::<_, Infallible>(vec![0_u8; size]));
        loop {
            match Chunk::fill(&mut next, &mut parts).unwrap().len() {
                0 => return lengths,
                length => lengths.push(length),
            }
        }
    }

    /// How many parts were carried until all were taken, by somebody who takes up to `room` at a time.
    fn carried(count: usize, room: impl Fn(usize) -> usize) -> usize {
        let (parts, mut pace) = (vec![(); count], Pace::new());
        let (mut done, mut carried) = (0, 0);
        while done < count {
            let some = pace.first_of(&parts[done..]).len();
            let taken = some.min(room(done));
            (done, carried) = (done + taken, carried + some);
            pace.taken(taken);
        }
        carried
    }

    #[test]
    fn what_is_taken_in_pieces_is_carried_few_times_and_what_is_taken_at_once_once() {
        assert_eq!(carried(10_000, |_| usize::MAX), 10_000);
        assert_eq!(carried(10_000, |_| 1), 10_000 + 2 * 9_999 - 1);
        let after_a_halt = |done| if done < 5 { 1 } else { usize::MAX };
        let carried = carried(10_000, after_a_halt);
        assert!(carried < 10_000 + 10_000 + 100, "it grows again: {carried}");
    }

    #[test]
    fn a_chunk_is_full_by_count_or_by_bytes_and_what_is_too_large_stands_alone() {
        assert!(lengths([]).is_empty());
        assert_eq!(lengths([1; limits::FRAME_ENTRIES_MAX + 2]), [limits::FRAME_ENTRIES_MAX, 2]);
        assert_eq!(lengths([1, 2 * CHUNK_BYTES_MAX, 1, CHUNK_BYTES_MAX / 2, CHUNK_BYTES_MAX / 2]), [1, 1, 2, 1]);
    }
}
