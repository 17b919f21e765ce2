//! What workers write: read as fast as they write it, kept in a little memory and in files that do not grow, and never in their way.
//!
//! ```text
//!   worker ── pipe ──► drain ──► Ring (the latest bytes; readers come at their own pace, and are told what they missed)
//!                        └─────► LogFile: a bounded line ─► thread ─► name, name.1, name.2 ...
//!                                     └─ no room: dropped, and counted
//! ```
//!
//! Nothing here waits for a reader or for a disk but the thread that writes the file.

mod file;
mod ring;

pub use file::{LogFile, Rotation};
pub use ring::{Piece, Ring, last_lines};

use parking_lot::Mutex;
use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Notify,
};

/// What is read at once: what a pipe holds by default, so that a worker that floods is read with few calls.
const READ_BYTES: usize = 64 << 10;

/// The latest of what a worker writes to one of its outputs. Shared by who drains it and any number of readers.
#[derive(Debug)]
pub struct Output {
    /// Held for a copy, never across a wait.
    ring: Mutex<Kept>,
    grown: Notify,
}

#[derive(Debug)]
struct Kept {
    ring: Ring,
    has_ended: bool,
}

impl Output {
    /// Keeps that many bytes.
    pub fn new(bytes: usize) -> Output {
        Output { ring: Mutex::new(Kept { ring: Ring::new(bytes), has_ended: false }), grown: Notify::new() }
    }

    /// Reads until no process holds the other end any more, or until it cannot be read. Another worker may go on where this one ended.
    ///
    /// The file gets the same bytes, as far as it keeps up.
    pub async fn drain(&self, mut from: impl AsyncRead + Unpin, file: Option<&LogFile>) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            self.ring.lock().ring.push(&buffer[..count]);
            self.grown.notify_waiters();
            if let Some(file) = file {
                file.offer(&buffer[..count]);
            }
        }
    }

    /// Nothing more comes, from nobody.
    pub fn end(&self) {
        self.ring.lock().has_ended = true;
        self.grown.notify_waiters();
    }

    /// What there is from a position on, at once. Positions count all bytes that were ever written.
    pub fn since(&self, position: u64) -> Piece {
        self.ring.lock().ring.since(position)
    }

    /// Waits until there is something from a position on; none: the output has ended, and nothing more comes.
    pub async fn follow(&self, position: u64) -> Option<Piece> {
        loop {
            let grown = self.grown.notified();
            {
                let kept = self.ring.lock();
                let piece = kept.ring.since(position);
                if !piece.bytes.is_empty() {
                    return Some(piece);
                }
                if kept.has_ended {
                    return None;
                }
            }
            grown.await;
        }
    }

    /// The last lines of what was written from a position on, without their ends; the first of them may have lost its beginning. What
    /// is no text is replaced by marks.
    pub fn last_lines(&self, count: usize, from: u64) -> Vec<String> {
        last_lines(&self.since(from).bytes, count)
    }

    /// How many bytes were ever written.
    pub fn written(&self) -> u64 {
        self.ring.lock().ring.end()
    }
}
