//! What a worker says of itself: the messages of `sd_notify`, each run by a socket of its own. What is made of them is decided elsewhere.
//!
//! Descriptors that come with a message (`FDSTORE=1`) are closed at once. For `BARRIER=1` that is the answer it waits for.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio::net::UnixDatagram;

/// A message is a few short lines. What is longer is left out, as systemd does, whose bound this is.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What the path of a Unix socket may have, its end included.
const PATH_BYTES_MAX: usize = 108;

/// What a socket's folder, its name and the end have behind the folder it is made in: `/n12345678/s`.
const BELOW_BYTES: usize = 13;

/// A folder below this one, or below `/tmp` where sockets below this one would have paths that are too long.
pub fn folder_for_sockets(temporary: &Path) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("bursar-").tempdir_in(temporary)?;
    match folder.path().as_os_str().len() + BELOW_BYTES > PATH_BYTES_MAX {
        true => tempfile::Builder::new().prefix("bursar-").tempdir_in("/tmp"),
        false => Ok(folder),
    }
}

/// Where the messages of one run come in. The environment of the run has its path as `NOTIFY_SOCKET`. Unlinked when dropped.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// Nobody else may enter it: who can write there belongs to this user, or to the run's.
    folder: TempDir,
}

/// What a run has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has started, or it has read its configuration anew.
    Ready,
    /// It ends.
    Stopping,
    /// It reads its configuration anew.
    Reloading,
    /// How it is, for people; without control characters.
    Status(String),
    /// It still works.
    Watchdog,
    /// What it is doing takes so many milliseconds more, from now on.
    Extend(u64),
    /// Its work is done by this process.
    MainPid(u32),
    /// Something else, as it was said.
    Other(String),
}

impl NotifySocket {
    /// Makes a socket in a folder of its own below this one. Inside of a tokio runtime only. An error: that could not be made, or its
    /// path would be too long for a socket: then the folder has to have a shorter one.
    pub fn bind(directory: &Path) -> io::Result<NotifySocket> {
        let folder = tempfile::Builder::new()
            .prefix("n")
            .rand_bytes(8)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(directory)?;
        let path = folder.path().join("s");
        if path.as_os_str().len() >= PATH_BYTES_MAX {
            let problem =
                format!("{} is too long for the path of a socket: expected less than {PATH_BYTES_MAX} bytes", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let socket = UnixDatagram::bind(&path)?;
        Ok(NotifySocket { socket, path, folder })
    }

    /// A run of this user may write there, too, if it may enter the folder that this one's is in. Only root may do that.
    pub fn give_to(&self, user: u32) -> io::Result<()> {
        chown(&self.path, Some(user), None)?;
        chown(self.folder.path(), Some(user), None)
    }

    /// What `NOTIFY_SOCKET` is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next message, which may say several things, or nothing that anybody understands. Waits until there is one. Dropped
    /// meanwhile, nothing is lost. An error: nothing will come any more.
    pub async fn next(&self) -> io::Result<Vec<Said>> {
        // One more, to see that a message had more.
        let mut message = [0; MESSAGE_BYTES_MAX + 1];
        let count = self.socket.recv(&mut message).await?;
        Ok(if count > MESSAGE_BYTES_MAX { Vec::new() } else { understand(&String::from_utf8_lossy(&message[..count])) })
    }
}

fn understand(message: &str) -> Vec<Said> {
    message.lines().filter(|line| !line.is_empty()).filter_map(understand_line).collect()
}

fn understand_line(line: &str) -> Option<Said> {
    let other = || Some(Said::Other(line.to_owned()));
    match line.split_once('=') {
        Some(("READY", "1")) => Some(Said::Ready),
        Some(("STOPPING", "1")) => Some(Said::Stopping),
        Some(("RELOADING", "1")) => Some(Said::Reloading),
        Some(("WATCHDOG", "1")) => Some(Said::Watchdog),
        Some(("STATUS", text)) => Some(Said::Status(text.chars().filter(|character| !character.is_control()).collect())),
        Some(("EXTEND_TIMEOUT_USEC", number)) => {
            number.parse().map_or_else(|_| other(), |micros: u64| Some(Said::Extend(micros.div_ceil(1000))))
        }
        Some(("MAINPID", number)) => number.parse().map_or_else(|_| other(), |pid| Some(Said::MainPid(pid))),
        Some(("FDSTORE" | "FDSTOREREMOVE" | "FDNAME" | "FDPOLL" | "BARRIER" | "MONOTONIC_USEC", _)) => None,
        _ => other(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram as Sender;

    fn send(socket: &NotifySocket, message: &[u8]) {
        let sender = Sender::unbound().unwrap();
        assert_eq!(sender.send_to(message, socket.path()).unwrap(), message.len());
    }

    #[tokio::test]
    async fn what_is_said_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let socket = NotifySocket::bind(folder.path()).unwrap();
        send(&socket, b"READY=1\nSTATUS=serving \x1b[31m7\nMAINPID=4711\n");
        let said = socket.next().await.unwrap();
        assert_eq!(said, [Said::Ready, Said::Status("serving [31m7".into()), Said::MainPid(4711)]);
        send(&socket, b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=1500001");
        assert_eq!(socket.next().await.unwrap(), [Said::Watchdog, Said::Extend(1501)]);
        send(&socket, b"RELOADING=1\nMONOTONIC_USEC=7\nSTOPPING=1\nFDSTORE=1\nERRNO=2\nMAINPID=me\nnonsense\xff");
        let said = socket.next().await.unwrap();
        let other = |text: &str| Said::Other(text.into());
        let expected = [Said::Reloading, Said::Stopping, other("ERRNO=2"), other("MAINPID=me"), other("nonsense\u{fffd}")];
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_says_nothing_and_the_next_one_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let socket = NotifySocket::bind(folder.path()).unwrap();
        send(&socket, &[b"READY=1\n".as_slice(), &[b'x'; MESSAGE_BYTES_MAX]].concat());
        send(&socket, b"");
        send(&socket, b"READY=1");
        assert_eq!(socket.next().await.unwrap(), []);
        assert_eq!(socket.next().await.unwrap(), []);
        assert_eq!(socket.next().await.unwrap(), [Said::Ready]);
    }

    #[tokio::test]
    async fn nobody_else_may_enter_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let socket = NotifySocket::bind(folder.path()).unwrap();
        let own = socket.path().parent().unwrap().to_owned();
        assert_eq!(own.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        drop(socket);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[tokio::test]
    async fn where_the_temporary_folder_is_deep_another_one_is_taken() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        for length in 60..90 {
            let deep = folder.path().join("d".repeat(length));
            std::fs::create_dir(&deep).unwrap();
            let sockets = folder_for_sockets(&deep).unwrap();
            NotifySocket::bind(sockets.path()).unwrap();
            assert_eq!(std::fs::read_dir(&deep).unwrap().count(), usize::from(sockets.path().starts_with(&deep)));
        }
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let problem = NotifySocket::bind(&deep).unwrap_err().to_string();
        assert!(problem.contains("too long for the path of a socket"), "{problem}");
    }
}
