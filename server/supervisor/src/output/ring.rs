//! The latest bytes of something that does not end. Pure.

use std::collections::VecDeque;

/// Keeps the last bytes of all that was pushed, and knows where they stood.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Of all that was pushed.
    end: u64,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes before it were asked for, but are not kept any more.
    pub missed: u64,
    /// What is there.
    pub bytes: Vec<u8>,
    /// The position behind it: where to ask next.
    pub next: u64,
}

impl Ring {
    /// Keeps that many bytes.
    pub fn new(capacity: usize) -> Ring {
        Ring { bytes: VecDeque::new(), capacity, end: 0 }
    }

    /// Forgets as many of the oldest as there is no room for.
    pub fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.capacity)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
    }

    /// How many bytes were ever pushed.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What is kept from a position on; nothing, if it is not reached yet.
    pub fn since(&self, position: u64) -> Piece {
        let first = self.end - self.bytes.len() as u64;
        let from = position.clamp(first, self.end);
        let bytes = self.bytes.range((from - first) as usize..).copied().collect();
        Piece { missed: from.saturating_sub(position), bytes, next: self.end.max(position) }
    }
}

/// The last lines, without their ends.
pub fn last_lines(bytes: &[u8], count: usize) -> Vec<String> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if text.is_empty() {
        return Vec::new();
    }
    let lines = text.rsplit(|byte| *byte == b'\n').take(count);
    let mut lines: Vec<String> = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_the_end_of_what_was_pushed_whatever_the_pieces() {
        let mut random = fastrand::Rng::with_seed(3);
        for capacity in [0, 1, 7, 64] {
            let (mut ring, mut all) = (Ring::new(capacity), Vec::new());
            for _ in 0..200 {
                let bytes: Vec<u8> = (0..random.usize(0..20)).map(|_| random.u8(..)).collect();
                ring.push(&bytes);
                all.extend(bytes);
                let position = random.usize(0..all.len() + 5);
                let first = all.len().saturating_sub(capacity);
                let from = position.clamp(first, all.len());
                let missed = from.saturating_sub(position) as u64;
                let next = all.len().max(position) as u64;
                assert_eq!(ring.since(position as u64), Piece { missed, bytes: all[from..].to_vec(), next });
            }
            assert!(ring.bytes.capacity() <= 4 * capacity.max(32), "its memory is bounded");
        }
    }

    #[test]
    fn the_last_lines_are_told_whatever_they_are() {
        assert_eq!(last_lines(b"", 3), [""; 0]);
        let bytes = b"first\nsecond\n\nfo\xffth";
        assert_eq!(last_lines(bytes, 2), ["", "fo\u{fffd}th"]);
        assert_eq!(last_lines(bytes, 9), ["first", "second", "", "fo\u{fffd}th"]);
        assert_eq!(last_lines(b"one\n", 1), ["one"]);
    }
}
