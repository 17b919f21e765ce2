//! Names of objects.

use crate::{Fault, limits};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of an object: 1 to 200 characters of `A-Z a-z 0-9 . _ - /`. Cheap to clone.
///
/// ```
/// use bursar_proto::Name;
/// let name: Name = "team/jobs".parse().unwrap();
/// assert_eq!(name.as_str(), "team/jobs");
/// assert!("two words".parse::<Name>().unwrap_err().to_string().contains("A-Z a-z 0-9 . _ - /"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Name, Fault> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if text.is_empty() || text.len() > limits::NAME_BYTES_MAX || !text.bytes().all(allowed) {
            let shown: String = text.chars().take(40).collect();
            return Err(Fault::bad_argument(
                "name",
                format!(
                    "expected 1 to {} characters of A-Z a-z 0-9 . _ - /, got {shown:?} ({} bytes)",
                    limits::NAME_BYTES_MAX,
                    text.len()
                ),
            ));
        }
        Ok(Name(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_a_name() {
        assert!("a".parse::<Name>().is_ok());
        assert!("A.z_0-9/b".parse::<Name>().is_ok());
        assert!("x".repeat(200).parse::<Name>().is_ok());
        for bad in ["", " ", "a b", "ä", "a\0", "a\n", &"x".repeat(201)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
