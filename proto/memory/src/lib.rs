//! Large values between processes of one host: in sealed memory instead of in frames.
//!
//! ```text
//!   one process                                        another
//!   value ─► Sealed (memfd: written, then sealed)
//!              │ descriptor ──── line (Unix socket) ────► Sealed (the same pages) ─► Bytes
//!   message ─► Scattered: small pieces, and names of memory ──── frame ────► Scattered ─► message
//! ```
//!
//! Nobody can change or shrink sealed memory, so it is read where it lies. It lives as long as somebody has it open: the kernel
//! counts, and whoever is killed lets go.
//!
//! This crate knows no broker, no session and no contract. It is the only one with unsafe code.

mod kept;
mod scattered;
mod sealed;
mod side;

pub use scattered::Scattered;
pub use sealed::{Sealed, written};
pub use side::{HELLO_BYTES, Hello, Piece, SideSocket, Source, greet, receive, welcome};

/// From this size on, a part of a message lies in memory of its own: what does not fit into a frame of the session stream. Making,
/// handing over and mapping memory costs some 20 microseconds, whatever its size.
pub const SHARED_BYTES_MIN: usize = 256 << 10;
