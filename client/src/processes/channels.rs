//! The channels of a process, and what is said on its control channel: what supervisor and workers agree on. Nothing is sent here.
//!
//! End A is the supervisor's, or that of the program whose workers they are; end B is the workers'. A message of the control channel is a
//! word of bytes without further meaning, with the number of the worker that it is of, or for, as a header.

/// Each message goes to one worker.
pub fn active(process: &str) -> String {
    format!("{process}-active")
}

/// Each message goes to all workers that listen for it.
pub fn passive(process: &str) -> String {
    format!("{process}-passive")
}

/// What is said here has a meaning of its own.
pub fn control(process: &str) -> String {
    format!("{process}-control")
}

/// The header of a control message that has the worker's number.
pub const WORKER: &str = "worker";

/// Said by a worker: it can be used now.
pub const READY: &str = "ready";

/// Said by a worker: it is to be replaced by another one.
pub const RESTART: &str = "restart";

/// Said by a worker: its whole process is to be down. Said to a worker: it is to end.
pub const STOP: &str = "stop";
