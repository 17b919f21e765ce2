//! How much one reply takes: a number of things, and `REPLY_BYTES_MAX` beyond the first.

use bursar_proto::limits::REPLY_BYTES_MAX;

/// The room that is left in a reply.
pub struct Page {
    left: usize,
    bytes_left: Option<usize>,
}

impl Page {
    /// Room for this many things.
    pub fn of(limit: usize) -> Page {
        Page { left: limit, bytes_left: None }
    }

    /// Whether there is place for one more thing of this size, which then is taken.
    pub fn takes(&mut self, bytes: usize) -> bool {
        let bytes_left = match self.bytes_left {
            None => Some(REPLY_BYTES_MAX),
            Some(left) => left.checked_sub(bytes),
        };
        if self.left == 0 || bytes_left.is_none() {
            return false;
        }
        self.left -= 1;
        self.bytes_left = bytes_left;
        true
    }
}
