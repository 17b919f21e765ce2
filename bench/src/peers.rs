//! Who is measured, one file each.

pub mod bursar;
pub mod calls;
pub mod echo;
pub mod nats;
pub mod pubsub;
pub mod redis;
mod socket;
pub mod stock;
