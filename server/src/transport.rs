//! Connections: how bytes come in, who is at the other end, and the limits of what a peer can make the broker hold.
//!
//! `listen` binds, `inherited` takes what listens already, `serve` accepts and drives, `heard` and `metered` watch the bytes, `quiet` saves wake-ups, `spoken` tells side
//! sockets from HTTP/2, `process` sees local peers exit. TLS would be one more way from a listener to a stream of bytes, in `listen`.

mod connection;
mod heard;
mod inherited;
mod listen;
mod metered;
mod process;
mod quiet;
mod serve;
mod spoken;

pub use connection::{Connection, PartialBytes, Peer};
pub use inherited::Inherited;
pub use listen::{BindError, Listener, Stream};
pub use metered::Metered;
pub use serve::{Limits, Server};
