//! On whose behalf this thread works right now: the chain of the call whose method is being polled, and when its caller stops waiting.
//!
//! It stands in the thread, and is put there around every poll, so that it is known on every executor. A task that a method starts by
//! itself is another poll: it works on nobody's behalf.

use super::wire;
use crate::{Wait, objects::deadline::Deadline};
use std::{cell::RefCell, mem, time::Instant};

/// Of one call.
#[derive(Debug)]
pub(super) struct Context {
    chain: Vec<wire::Link>,
    deadline: Option<Instant>,
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

impl Context {
    pub fn new(chain: Vec<wire::Link>, deadline: Option<Instant>) -> Context {
        Context { chain, deadline }
    }
}

/// Runs this on behalf of a call, and then what was before again. It must not panic.
pub(super) fn within<R>(context: &mut Option<Context>, run: impl FnOnce() -> R) -> R {
    let swap = |context: &mut _| CURRENT.with_borrow_mut(|current| mem::swap(current, context));
    swap(context);
    let result = run();
    swap(context);
    result
}

/// What a call that is made now says of the calls that wait for it.
pub(super) fn chain() -> Vec<wire::Link> {
    CURRENT.with_borrow(|current| current.as_ref().map_or_else(Vec::new, |context| context.chain.clone()))
}

/// No longer than whoever waits for the call on whose behalf this one is made.
pub(super) fn bounded(wait: Wait) -> Wait {
    let deadline = CURRENT.with_borrow(|current| current.as_ref().and_then(|context| context.deadline));
    let Some(left) = deadline.map(|deadline| Deadline::At(deadline).left()) else { return wait };
    match (wait, left) {
        (Wait::Never, _) | (_, Wait::Never) => Wait::Never,
        (Wait::For(wait), Wait::For(left)) => Wait::For(wait.min(left)),
        (Wait::Forever, left) => left,
        (wait, Wait::Forever) => wait,
    }
}
