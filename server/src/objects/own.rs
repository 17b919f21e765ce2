//! Kinds that whoever embeds the broker adds, by name: objects of kind `object` whose calls the broker itself carries out. What such a
//! kind is made of is not known here.

use super::{
    host::{Host, Hosted, World},
    kind::Wire,
    object::nearest,
};
use bursar_proto::{Fault, Name, v1::registry::Options};
use std::{collections::BTreeMap, sync::Arc};

/// Makes an object for these options.
pub type Start = fn(&Name, u64, &Options, &Arc<World>) -> Result<Arc<dyn Hosted>, Fault>;

/// A host for a new object of this kind.
pub fn start<K: Wire>(name: &Name, epoch: u64, options: &Options, world: &Arc<World>) -> Result<Arc<dyn Hosted>, Fault> {
    Ok(Host::start(name.clone(), epoch, K::create(options, epoch)?, world.clone()))
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct OwnKinds(BTreeMap<String, Start>);

impl OwnKinds {
    /// Adds one; false: there is one of this name already.
    pub fn add(&mut self, name: &str, start: Start) -> bool {
        self.0.insert(name.to_owned(), start).is_none()
    }

    /// How an object of this kind is made.
    pub fn find(&self, name: &str) -> Result<Start, Fault> {
        self.0.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let problem = match known.is_empty() {
                true => format!("this broker has no kinds of its own, and so no kind {name:?}"),
                false => {
                    let nearest = nearest(name, known.iter().copied());
                    format!("there is no kind {name:?}; the nearest one is {nearest:?}, and there are: {}", known.join(", "))
                }
            };
            Fault::bad_argument("kind", problem)
        })
    }
}
