//! A fence: the proof that a lock was held, for calls that must not happen after it was lost.

use crate::Fault;
use bursar_proto::{Name, v1};
use std::{fmt, str::FromStr};

/// The name of a lock and the token of one grant of it. A call that carries it is executed only while the lock is held under this very
/// token; otherwise it is refused with the fault `StaleToken` and changes nothing. So a holder that was thought dead, and whose lock
/// went to another, can do no harm when it wakes up.
///
/// A guard makes it ([`LockGuard::fence`](crate::LockGuard::fence), [`WriteGuard::fence`](crate::WriteGuard::fence)). As text it is
/// `NAME:TOKEN`, to be given to another process, which may do the work under the lock of its parent. Tokens grow across deletion and
/// re-creation of a lock, so name and token are enough to tell one grant from all others.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::Fence;
///
/// let lock = manager.lock("nightly").open_or_create().await?;
/// let guard = lock.acquire().await?;
/// let text = guard.fence().to_string();
/// assert_eq!(text, format!("nightly:{}", guard.token()));
/// let fence: Fence = text.parse().unwrap();
/// assert_eq!(fence, guard.fence());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    lock: String,
    token: u64,
}

impl Fence {
    /// A fence whose token came by another way than a guard, such as an environment variable. Whether the name is a lock's is seen by
    /// the broker.
    ///
    /// ```
    /// assert_eq!(bursar::Fence::new("nightly", 7).to_string(), "nightly:7");
    /// ```
    pub fn new(lock_name: impl Into<String>, token: u64) -> Fence {
        Fence { lock: lock_name.into(), token }
    }

    /// The lock's name.
    pub fn lock(&self) -> &str {
        &self.lock
    }

    /// The token of the grant.
    pub fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn to_wire(&self) -> v1::Fence {
        // Whichever lock has the name now: one of a later epoch never gives this token.
        let lock = v1::ObjectRef { name: self.lock.clone(), epoch: 0 };
        v1::Fence { lock: Some(lock), token: self.token }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.lock, self.token)
    }
}

/// Fault: `BadArgument`, when the text is not `NAME:TOKEN`.
impl FromStr for Fence {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Fence, Fault> {
        let wrong = || Fault::bad_argument("fence", format!("expected NAME:TOKEN, such as nightly:7, got {text:?}"));
        let (lock, token) = text.split_once(':').ok_or_else(wrong)?;
        let lock: Name = lock.parse()?;
        Ok(Fence::new(lock.as_str(), token.parse().map_err(|_| wrong())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_survives_being_written() {
        let fence = Fence::new("team/nightly", u64::MAX);
        assert_eq!(fence.to_string().parse(), Ok(fence.clone()));
        let v1::Fence { lock, token } = fence.to_wire();
        assert_eq!((lock.unwrap().name.as_str(), token), ("team/nightly", u64::MAX));
    }

    #[test]
    fn what_is_no_fence_is_said_with_what_is_one() {
        for wrong in ["", "nightly", "nightly:", "nightly:x", "nightly:-1", "a:b:7", ":7", "two words:7"] {
            let fault = wrong.parse::<Fence>().unwrap_err();
            assert!(fault.to_string().contains("expected"), "{wrong:?}: {fault}");
        }
    }
}
