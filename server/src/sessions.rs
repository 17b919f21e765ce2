//! Sessions: who asks and who holds. A session outlives its connection; when it ends, its waits are cancelled and what it held is
//! given back.
//!
//! `session` is one of them, `entry` an answer that it keeps, `table` all of them, `stream` the rpc that most clients use, `unary` the one rpc per verb,
//! `witness` who knows how a process ended.

mod entry;
mod session;
mod stream;
mod table;
mod unary;
mod witness;

pub use session::{Batch, Begin, Caller, Link, Origin, Session};
pub use stream::SessionsService;
pub use table::{Settings, Table};
pub use unary::Unary;
pub use witness::Witness;
