//! Where a broker listens.

use std::{fmt, path::PathBuf, str::FromStr};

/// The address of a broker: `unix:///path/to/socket` or `tcp://host:port`.
///
/// ```
/// use bursar_proto::Address;
/// let address: Address = "tcp://[::1]:7878".parse().unwrap();
/// assert_eq!(address, Address::Tcp { host: "::1".into(), port: 7878 });
/// assert_eq!(address.to_string(), "tcp://[::1]:7878");
/// assert!("localhost:7878".parse::<Address>().unwrap_err().to_string().contains("unix:///path"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP; the host is a name or an IP address without brackets.
    Tcp {
        /// Name or IP address.
        host: String,
        /// 0 lets a listener choose; a client cannot connect to it.
        port: u16,
    },
}

/// The text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:///path/to/socket or tcp://host:port, got {text:?}: {problem}")]
pub struct AddressError {
    text: String,
    problem: &'static str,
}

/// `sun_path` has 108 bytes with its final zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let parsed = match text.split_once("://") {
            Some(("unix", path)) => unix(path),
            Some(("tcp", rest)) => tcp(rest),
            Some(_) => Err("the scheme is neither unix nor tcp"),
            None => Err("it has no scheme"),
        };
        parsed.map_err(|problem| AddressError { text: text.to_owned(), problem })
    }
}

fn unix(path: &str) -> Result<Address, &'static str> {
    match path {
        path if !path.starts_with('/') => Err("the path of a Unix socket must be absolute (three slashes after unix:)"),
        path if path.len() > UNIX_PATH_BYTES_MAX => {
            Err("the path of a Unix socket has at most 107 bytes: use a shorter directory")
        }
        path if path.ends_with('/') => Err("the path names a directory"),
        path if path.contains('\0') => Err("the path has a zero byte"),
        path => Ok(Address::Unix(path.into())),
    }
}

fn tcp(rest: &str) -> Result<Address, &'static str> {
    let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().map_err(|_| "the port is not a number from 0 to 65535")?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("the IPv6 address lacks its closing bracket")?,
        None if host.contains(':') => return Err("an IPv6 address needs brackets: tcp://[::1]:7878"),
        None => host,
    };
    if host.is_empty() || host.contains(['/', ' ', '@', '?', '#']) {
        return Err("the host is not a name or an IP address");
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(formatter, "tcp://[{host}]:{port}"),
            Address::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
        for text in ["unix:///run/user/0/bursar.sock", "tcp://127.0.0.1:0", "tcp://[::1]:65535", "tcp://host.example:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        let long = format!("unix:///{}", "x".repeat(107));
        for text in [
            "",
            "unix://",
            "unix://relative",
            "unix:///dir/",
            &long,
            "tcp://",
            "tcp://host",
            "tcp://:1",
            "tcp://h:65536",
            "tcp://::1:1",
            "tcp://[::1:1",
            "http://x:1",
            "tcp://user@h:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
