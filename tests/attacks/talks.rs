//! Attacks on channels and topics: whoever talks is killed and replaced, somebody does not read, somebody asks for what is not its own.

mod killed;
mod refused;
mod stuck;
mod talker;
