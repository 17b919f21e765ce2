//! Which names of objects of one's own this session uses, so that the broker learns when it uses an ephemeral one no more. The broker
//! knows sessions; handles are counted here. Ephemeral objects of all other kinds stay as long as the session: what was put into a queue
//! by a handle that is dropped at once must not be gone with it.

use crate::{call, session::Session};
use bursar_proto::{
    Name,
    v1::{ObjectRef, registry::CloseRequest},
};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc};

/// The kind of the objects that are closed with their last handle.
const CLOSED: &str = "object";

/// What a session uses, by name. While it is locked something may be sent, and nothing else is done.
#[derive(Default)]
pub(crate) struct Usages(Mutex<HashMap<Name, Used>>);

#[derive(Default)]
struct Used {
    times: usize,
    /// Something of this name is to be closed when nobody uses it any more.
    is_ephemeral: bool,
}

impl Usages {
    fn begin(&self, name: &Name) {
        self.0.lock().entry(name.clone()).or_default().times += 1;
    }

    /// With the last use something is to be closed. That is said before anybody can begin the next one: an Open of another thread comes
    /// behind it.
    fn end(&self, name: &Name, is_ephemeral: bool, close: impl FnOnce()) {
        let mut usages = self.0.lock();
        let Some(used) = usages.get_mut(name) else { return };
        used.times -= 1;
        used.is_ephemeral |= is_ephemeral;
        if used.times == 0 && usages.remove(name).is_some_and(|used| used.is_ephemeral) {
            close();
        }
    }
}

/// One use of a name: from before it is opened, so that no other handle's end can close what is being opened.
pub(crate) struct Usage {
    session: Arc<Session>,
    name: Name,
    /// Whether there is anything to close. True until the broker has answered: an Open that is taken back may have happened.
    pub is_ephemeral: bool,
}

impl Usage {
    /// `None`: an object of this kind is not closed.
    pub fn begin(session: &Arc<Session>, name: &Name, kind: &str) -> Option<Usage> {
        (kind == CLOSED).then(|| {
            session.usages().begin(name);
            Usage { session: session.clone(), name: name.clone(), is_ephemeral: true }
        })
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        let close = || {
            // Of whatever epoch: this session has no handle of any.
            let object = Some(ObjectRef { name: self.name.to_string(), epoch: 0 });
            call::tell(&self.session, CloseRequest { object });
        };
        self.session.usages().end(&self.name, self.is_ephemeral, close);
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Usage").field("name", &self.name).field("is_ephemeral", &self.is_ephemeral).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(names: &[&Name]) -> Usages {
        let usages = Usages::default();
        names.iter().for_each(|name| usages.begin(name));
        usages
    }

    /// Whether it is closed then.
    fn end(usages: &Usages, name: &Name, is_ephemeral: bool) -> bool {
        let mut is_closed = false;
        usages.end(name, is_ephemeral, || is_closed = true);
        is_closed
    }

    #[test]
    fn a_name_is_closed_with_its_last_use() {
        let (name, other): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let usages = usages(&[&name, &name, &other]);
        assert!(!end(&usages, &name, true) && end(&usages, &name, true));
        usages.begin(&name);
        assert!(end(&usages, &name, true) && end(&usages, &other, true));
    }

    /// Another thread may open it just then: what that one opened must not be closed.
    #[test]
    fn the_close_is_said_before_the_next_use_begins() {
        let name: Name = "a".parse().unwrap();
        let usages = usages(&[&name]);
        let mut is_said = false;
        usages.end(&name, true, || is_said = usages.0.is_locked());
        assert!(is_said);
    }

    #[test]
    fn an_opening_that_was_refused_meanwhile_does_not_keep_it() {
        let name: Name = "a".parse().unwrap();
        let usages = usages(&[&name, &name]);
        assert!(!end(&usages, &name, true), "it is being opened again");
        assert!(end(&usages, &name, false), "which came to nothing");
        usages.begin(&name);
        assert!(!end(&usages, &name, false), "what is not ephemeral is never closed");
    }
}
