//! Who may call: the handshake `bursar-auth-v1` and the gate that stands before all routing.
//!
//! `handshake` is a pure step machine, one for each connection; `gate` is the tower service in front of everything else.

mod gate;
mod handshake;
mod service;

pub use gate::Gate;
pub use handshake::{Handshake, Keyring};
pub use service::AuthService;
