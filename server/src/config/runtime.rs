//! Where `bursar serve` without arguments puts its socket and its key, and where clients without arguments look for them.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The user's runtime directory cannot be trusted or made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RuntimeDirError {
    #[error("the runtime directory {path} cannot be used: {source}; set XDG_RUNTIME_DIR, or give --listen and --authkey-file", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the runtime directory {path} is not a directory: remove it, or set XDG_RUNTIME_DIR", path = path.display())]
    NoDirectory { path: PathBuf },
    #[error("the runtime directory {path} belongs to user {owner}, not to this user ({user}): set XDG_RUNTIME_DIR to a directory of your own", path = path.display())]
    Foreign { path: PathBuf, owner: u32, user: u32 },
    #[error("the runtime directory {path} is open to others (mode {mode:o}): run `chmod 700 {path}`", path = path.display())]
    Open { path: PathBuf, mode: u32 },
}

/// `$XDG_RUNTIME_DIR/bursar`, or `/tmp/bursar-UID` where that is not set. Nothing is looked at or made.
pub fn runtime_path() -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match base.filter(|base| base.is_absolute()) {
        Some(base) => base.join("bursar"),
        None => PathBuf::from(format!("/tmp/bursar-{}", rustix::process::geteuid().as_raw())),
    }
}

/// [`runtime_path`], made with mode 0700 if it is not there; refused if it is somebody else's or open to others.
pub fn runtime_dir() -> Result<PathBuf, RuntimeDirError> {
    let path = runtime_path();
    private_dir(&path, rustix::process::geteuid().as_raw())?;
    Ok(path)
}

/// The default socket inside a runtime directory.
pub fn default_socket(directory: &Path) -> PathBuf {
    directory.join("bursar.sock")
}

/// The default key file inside a runtime directory.
pub fn default_authkey(directory: &Path) -> PathBuf {
    directory.join("authkey")
}

fn private_dir(path: &Path, user: u32) -> Result<(), RuntimeDirError> {
    let failed = |source| RuntimeDirError::Io { path: path.into(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Not through a symbolic link: whoever owns the link could point it elsewhere later.
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    match metadata.mode() & 0o777 {
        _ if !metadata.is_dir() => Err(RuntimeDirError::NoDirectory { path: path.into() }),
        _ if metadata.uid() != user => Err(RuntimeDirError::Foreign { path: path.into(), owner: metadata.uid(), user }),
        0o700 => Ok(()),
        mode => Err(RuntimeDirError::Open { path: path.into(), mode }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_directory_is_private_or_refused() {
        let parent = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let path = parent.path().join("bursar");
        private_dir(&path, user).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        private_dir(&path, user).expect("a second time it is there already");
        assert!(matches!(private_dir(&path, user + 1), Err(RuntimeDirError::Foreign { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(private_dir(&path, user), Err(RuntimeDirError::Open { mode: 0o755, .. })));
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(private_dir(&link, user), Err(RuntimeDirError::NoDirectory { .. })));
        assert!(matches!(private_dir(&path.join("no/parent"), user), Err(RuntimeDirError::Io { .. })));
    }
}
