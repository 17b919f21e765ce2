//! Compiles the contract with protox, so that nobody needs `protoc`.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: &[&str] = &[
    "bursar/v1/common.proto",
    "bursar/v1/auth.proto",
    "bursar/v1/session.proto",
    "bursar/v1/registry.proto",
    "bursar/v1/queue.proto",
    "bursar/v1/kv.proto",
    "bursar/v1/lock.proto",
    "bursar/v1/rwlock.proto",
    "bursar/v1/semaphore.proto",
    "bursar/v1/event.proto",
    "bursar/v1/latch.proto",
    "bursar/v1/condition.proto",
    "bursar/v1/barrier.proto",
    "bursar/v1/counter.proto",
    "bursar/v1/list.proto",
    "bursar/v1/array.proto",
    "bursar/v1/channel.proto",
    "bursar/v1/topic.proto",
    "bursar/v1/object.proto",
    "bursar/v1/txn.proto",
    "bursar/v1/journal.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=bursar");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        // The two frames, and what a topic gives, are our own types with the same bytes on the wire: src/frame.rs says why.
        .extern_path(".bursar.v1.ClientFrame", "crate::frame::ClientFrame")
        .extern_path(".bursar.v1.ServerFrame", "crate::frame::ServerFrame")
        .extern_path(".bursar.v1.topic.NextReply", "crate::frame::NextReply")
        .compile_fds(descriptors)?;
    Ok(())
}
