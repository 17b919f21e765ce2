//! Descriptors on their way from a supervisor to a keeper, by the socket between them: sent before the keeper is started, and the first
//! that it reads. What becomes of them then is the keeper's matter.
//!
//! The environment of the worker travels so, too, as memory: in the keeper's own it would be the keeper's, and what is meant for a worker
//! of another user (`LD_PRELOAD`, say) would act as the keeper's user; among its arguments everybody could read it.

use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
        sendmsg,
    },
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Seek, Write},
    iter,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            net::UnixStream,
        },
    },
    sync::Arc,
};

/// A worker gets a key, and perhaps a few sockets to listen on. It bounds the space of a message; the kernel's own bound is 253.
const DESCRIPTORS_MAX: usize = 32;
const SPACE_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX + 1));

/// An environment, as memory that can be read from its beginning.
pub(super) fn written(environment: &[(OsString, OsString)]) -> io::Result<OwnedFd> {
    let mut memory = File::from(memfd_create("bursar-environment", MemfdFlags::CLOEXEC)?);
    let mut bytes = Vec::new();
    for (name, value) in environment {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) || value.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a variable has an empty name, or NUL or = where none may be",
            ));
        }
        bytes.extend([name, b"=", value, b"\0"].concat());
    }
    memory.write_all(&bytes)?;
    memory.rewind()?;
    Ok(memory.into())
}

/// What was written so.
pub(super) fn read(environment: OwnedFd) -> io::Result<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    File::from(environment).read_to_end(&mut bytes)?;
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let pair = |entry: &[u8]| {
        let end = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        (text(&entry[..end]), text(entry.get(end + 1..).unwrap_or_default()))
    };
    Ok(entries.map(pair).collect())
}

/// The environment first. The socket is new: there is room, and this does not wait.
pub(super) fn send(socket: &UnixStream, environment: OwnedFd, descriptors: &[(OsString, Arc<OwnedFd>)]) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        let count = descriptors.len();
        return Err(io::Error::other(format!("a worker inherits at most {DESCRIPTORS_MAX} descriptors, not {count}")));
    }
    let others = descriptors.iter().map(|(_, descriptor)| descriptor.as_fd());
    let borrowed: Vec<_> = iter::once(environment.as_fd()).chain(others).collect();
    let mut space = [MaybeUninit::uninit(); SPACE_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)), "there is space for as many as there may be");
    // They travel with a byte, and with no other: orders come after it.
    sendmsg(socket, &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The environment, and the others, of whom so many were sent. They are closed on exec.
pub(super) fn receive(socket: &UnixStream, count: usize) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); SPACE_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    // The kernel leaves out those for which this process has no number left.
    if received.len() != count + 1 {
        return Err(io::Error::other("its descriptors were lost on their way"));
    }
    Ok((received.remove(0), received))
}
