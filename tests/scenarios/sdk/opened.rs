//! The objects that a session has open: one handle for each name, which its first use opens.

use super::Result;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Handles of one kind, by the objects' names and the numbers of the owners; 0 is the session as a whole.
pub struct Opened<H>(Mutex<HashMap<(String, u64), Arc<H>>>);

impl<H> Default for Opened<H> {
    fn default() -> Opened<H> {
        Opened(Mutex::default())
    }
}

impl<H> Opened<H> {
    /// The handle of this name, opened now if need be.
    pub async fn get(&self, name: &str, open: impl Future<Output = bursar::Result<H>>) -> Result<Arc<H>> {
        match self.known(name) {
            Some(handle) => Ok(handle),
            None => Ok(self.keep(name, open.await?)),
        }
    }

    /// From now on this is the handle of the name, for every owner.
    pub fn keep(&self, name: &str, handle: H) -> Arc<H> {
        let handle = Arc::new(handle);
        let mut handles = self.0.lock();
        handles.retain(|(known, _), _| known != name);
        handles.insert((name.to_owned(), 0), handle.clone());
        handle
    }

    /// The handle of this name, if it is open.
    pub fn known(&self, name: &str) -> Option<Arc<H>> {
        self.0.lock().get(&(name.to_owned(), 0)).cloned()
    }
}

impl<H: Clone> Opened<H> {
    /// As [`Opened::get`], for one owner of several: clones of a handle are different owners.
    pub async fn get_for(&self, name: &str, owner: u64, open: impl Future<Output = bursar::Result<H>>) -> Result<Arc<H>> {
        let whole = self.get(name, open).await?;
        let own = || Arc::new(H::clone(&whole));
        if owner == 0 {
            return Ok(whole);
        }
        Ok(self.0.lock().entry((name.to_owned(), owner)).or_insert_with(own).clone())
    }
}

/// Opens an object as `create`, `open` or `open_or_create` says.
macro_rules! open {
    ($builder:expr, $mode:expr, $arguments:expr) => {{
        let mut builder = $builder;
        if $arguments.field("ephemeral")? {
            builder = builder.ephemeral();
        }
        match $mode {
            "create" => builder.create().await?,
            "open" => builder.open().await?,
            _ => builder.open_or_create().await?,
        }
    }};
}

/// As [`open!`]; keeps the handle, and gives the outcome.
macro_rules! open_and_keep {
    ($opened:expr, $name:expr, $builder:expr, $mode:expr, $arguments:expr) => {{
        let handle = $opened.keep($name, $crate::scenarios::sdk::opened::open!($builder, $mode, $arguments));
        $crate::scenarios::wire::opened(handle.was_created(), handle.epoch())
    }};
}

pub(super) use {open, open_and_keep};
