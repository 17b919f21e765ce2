//! Who is measured, one file each.

pub mod bursar;
pub mod echo;
pub mod redis;
pub mod stock;
