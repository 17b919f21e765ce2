//! Keys and addresses of a broker before it is built: what is taken where nothing was said, what is read, and what is refused.

use super::ServeError;
use crate::config::{self, Config, KeyFile};
use bursar_proto::{Address, AuthKey, KeyError, authkey};
use std::{io, path::Path};

/// Where nothing was said: the socket and the key in the runtime directory. The key is made if there is none.
pub(crate) fn fill(config: &mut Config, needs_address: bool, needs_key: bool) -> Result<(), ServeError> {
    let needs_address = needs_address && config.listen.is_empty();
    let needs_key = needs_key && config.keys.is_empty();
    if !needs_address && !needs_key {
        return Ok(());
    }
    let directory = config::runtime_dir()?;
    if needs_address {
        config.listen.push(Address::Unix(config::default_socket(&directory)));
    }
    if needs_key {
        let path = config::default_authkey(&directory);
        make(&path)?;
        config.keys.push(KeyFile { id: authkey::DEFAULT_KEY_ID.into(), path });
    }
    Ok(())
}

/// A key that is there already is kept; whether it may be used is found out when it is read.
fn make(path: &Path) -> Result<(), KeyError> {
    match AuthKey::generate(path) {
        Err(KeyError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Those of the configuration's files.
pub(crate) fn read(config: &Config) -> Result<Vec<AuthKey>, ServeError> {
    let read = |file: &KeyFile| {
        let key = if config.allow_weak_key { AuthKey::weak_from_file(&file.path) } else { AuthKey::from_file(&file.path) };
        key.map(|key| key.with_id(&file.id))
    };
    Ok(config.keys.iter().map(read).collect::<Result<_, _>>()?)
}

/// There is one, no two have one id, and none is too weak for where the broker is to listen.
pub(super) fn check<'a>(
    keys: &[AuthKey],
    mut addresses: impl Iterator<Item = &'a Address>,
    allow_weak_key: bool,
) -> Result<(), ServeError> {
    if keys.is_empty() {
        return Err(KeyError::Missing.into());
    }
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].iter().any(|earlier| earlier.id() == key.id()) {
            return Err(ServeError::SameKeyId { id: key.id().to_owned() });
        }
    }
    let Some(weak) = keys.iter().find(|key| key.is_short()) else { return Ok(()) };
    let is_near = |address: &Address| match address {
        Address::Unix(_) => true,
        Address::Tcp { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        }
    };
    match addresses.find(|address| !allow_weak_key || !is_near(address)) {
        Some(address) => Err(ServeError::WeakKey { id: weak.id().to_owned(), address: address.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authkey");
        make(&path).unwrap();
        let first = std::fs::read(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert!(make(&directory.path().join("no/authkey")).is_err());
    }

    #[test]
    fn a_weak_key_is_for_near_addresses_and_only_if_it_was_asked_for() {
        let keys = [AuthKey::weak(b"short")];
        let address = |text: &str| text.parse::<Address>().unwrap();
        let (near, far) = ([address("unix:///run/b"), address("tcp://127.0.0.1:7")], [address("tcp://192.0.2.1:7")]);
        assert!(check(&keys, near.iter(), true).is_ok());
        assert!(matches!(check(&keys, near.iter(), false), Err(ServeError::WeakKey { .. })));
        assert!(
            matches!(check(&keys, near.iter().chain(&far), true), Err(ServeError::WeakKey { address, .. }) if address == far[0])
        );
    }
}
