//! What the environment of a process says about its broker.

use crate::{AuthKey, Error, Result};
use bursar_proto::{Address, KeyError, authkey::KEY_BYTES_MAX};
use std::{env, fs::File, io::Read, path::PathBuf};

const ADDRESS: &str = "BURSAR_ADDRESS";
const FILE: &str = "BURSAR_AUTHKEY_FILE";
const DESCRIPTOR: &str = "BURSAR_AUTHKEY_FD";
const KEY_ID: &str = "BURSAR_KEY_ID";
const PROCESS: &str = "BURSAR_PROCESS";
const WORKER: &str = "BURSAR_WORKER";

pub(crate) fn address() -> Result<Address> {
    let Some(text) = variable(ADDRESS)? else {
        let problem = "is not set: expected the broker's address, unix:///path or tcp://host:port".to_owned();
        return Err(Error::Setting { setting: ADDRESS, problem });
    };
    text.parse().map_err(|error| Error::Setting { setting: ADDRESS, problem: format!("{error}") })
}

pub(crate) fn authkey() -> Result<AuthKey> {
    let authkey = match (variable(FILE)?, variable(DESCRIPTOR)?) {
        (Some(path), _) => AuthKey::from_file(path)?,
        (None, Some(number)) => AuthKey::new(&read_descriptor(&number)?)?,
        (None, None) => return Err(KeyError::Missing.into()),
    };
    Ok(match variable(KEY_ID)? {
        Some(id) => authkey.with_id(id),
        None => authkey,
    })
}

/// The process that this one is a worker of, and its number.
pub(crate) fn worker() -> Result<(String, u32)> {
    let missing = |setting| Error::Setting { setting, problem: "is not set: no supervisor has started this process".to_owned() };
    let process = variable(PROCESS)?.ok_or_else(|| missing(PROCESS))?;
    let number = variable(WORKER)?.ok_or_else(|| missing(WORKER))?;
    let wrong = |_| Error::Setting { setting: WORKER, problem: format!("expected the number of a worker, got {number:?}") };
    Ok((process, number.parse().map_err(wrong)?))
}

/// What this program is called: of a worker its process and number, otherwise its name.
pub(crate) fn program() -> String {
    if let Ok((process, number)) = worker() {
        return format!("{process}/{number}");
    }
    let path = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// An empty variable counts as none.
fn variable(setting: &'static str) -> Result<Option<String>> {
    match env::var(setting) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::Setting { setting, problem: "is not valid UTF-8".to_owned() }),
    }
}

/// The descriptor is opened anew by its name, which a pipe, a memory file or a file allows, and which needs no ownership of it.
fn read_descriptor(number: &str) -> Result<Vec<u8>> {
    let wrong = |problem: String| Error::Setting { setting: DESCRIPTOR, problem };
    let number: u32 = number.parse().map_err(|_| wrong(format!("expected the number of an open descriptor, got {number:?}")))?;
    let path = PathBuf::from(format!("/dev/fd/{number}"));
    let failed = |error| {
        let why = "programs that start others often close it: pass it on, or name a key file in BURSAR_AUTHKEY_FILE";
        wrong(format!("descriptor {number} cannot be read: {error} ({why})"))
    };
    let mut secret = Vec::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(KEY_BYTES_MAX as u64 + 1).read_to_end(&mut secret).map_err(failed)?;
    if secret.len() > KEY_BYTES_MAX { Err(KeyError::Long { path }.into()) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Seek, Write},
        os::fd::AsRawFd,
    };

    #[test]
    fn a_key_comes_through_a_descriptor() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 32]).unwrap();
        let number = file.as_raw_fd().to_string();
        assert_eq!(read_descriptor(&number).unwrap(), [7; 32], "from its beginning, wherever the descriptor stands");
        file.write_all(&[7; KEY_BYTES_MAX]).unwrap();
        assert!(matches!(read_descriptor(&number), Err(Error::NoKey(KeyError::Long { .. }))));
        file.rewind().unwrap();
        for wrong in ["-1", "three", "999999"] {
            let error = read_descriptor(wrong).unwrap_err();
            assert!(error.to_string().starts_with("BURSAR_AUTHKEY_FD: "), "{error}");
        }
    }
}
