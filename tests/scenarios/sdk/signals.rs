//! Kinds that nobody holds: event, latch, barrier, counter.

use super::{
    Arguments, Outcome, Part, Result, ok,
    opened::{Opened, open_and_keep},
    unknown,
};
use bursar::{Barrier, Counter, Event, Latch, Manager, Wait, counter::Swap};

/// The handles of a session.
#[derive(Default)]
pub struct Signals {
    events: Opened<Event>,
    latches: Opened<Latch>,
    barriers: Opened<Barrier>,
    counters: Opened<Counter>,
}

impl Signals {
    pub async fn event(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = manager.event(name);
            let builder = if arguments.field("initially_set")? { builder.initially_set() } else { builder };
            return Ok(open_and_keep!(self.events, name, builder, verb, arguments));
        }
        let event = self.events.get(name, manager.event(name).open()).await?;
        Ok(match verb {
            "set" => ok().with("changed", event.set().await?).into(),
            "clear" => ok().with("changed", event.clear().await?).into(),
            "get" => {
                let state = if event.is_set().await? { "set" } else { "clear" };
                Part::of([state.to_owned()]).with("version", event.version().await?).into()
            }
            "wait" => {
                let version = |version: u64| ok().with("version", version).into();
                match (arguments.optional("after")?, arguments.wait()?) {
                    (None, Wait::Forever) => version(event.wait().await?),
                    (None, wait) => ok_or_timed_out(event.wait_within(wait).await?),
                    (Some(after), Wait::Forever) => version(event.wait_after(after).await?),
                    (Some(after), wait) => event.wait_after_within(after, wait).await?.map_or(ok_or_timed_out(false), version),
                }
            }
            verb => return unknown(verb),
        })
    }

    pub async fn latch(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = manager.latch(name).count(arguments.field("count")?);
            return Ok(open_and_keep!(self.latches, name, builder, verb, arguments));
        }
        let latch = self.latches.get(name, manager.latch(name).open()).await?;
        Ok(match verb {
            "down" => {
                let left = match arguments.optional("by")? {
                    Some(by) => latch.count_down_by(by).await?,
                    None => latch.count_down().await?,
                };
                ok().with("left", left).into()
            }
            "get" => Outcome::word(latch.count().await?),
            "wait" => ok_or_timed_out(latch.wait_within(arguments.wait()?).await?),
            verb => return unknown(verb),
        })
    }

    pub async fn barrier(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = manager.barrier(name).parties(arguments.field("parties")?);
            return Ok(open_and_keep!(self.barriers, name, builder, verb, arguments));
        }
        let barrier = self.barriers.get(name, manager.barrier(name).open()).await?;
        Ok(match verb {
            "wait" => {
                let party = barrier.wait_within(arguments.wait()?).await?;
                ok().with("index", party.index).with("generation", party.generation).into()
            }
            "abort" => {
                barrier.abort().await?;
                ok().into()
            }
            "reset" => {
                barrier.reset().await?;
                ok().into()
            }
            "get" => {
                let state = barrier.state().await?;
                let part = Part::of(["barrier".into()]).with("parties", state.parties).with("waiting", state.waiting);
                part.with("broken", state.is_broken).with("generation", state.generation).into()
            }
            verb => return unknown(verb),
        })
    }

    pub async fn counter(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = manager.counter(name).initial(arguments.field("initial")?);
            return Ok(open_and_keep!(self.counters, name, builder, verb, arguments));
        }
        let counter = self.counters.get(name, manager.counter(name).open()).await?;
        Ok(match verb {
            "get" => Outcome::word(counter.get().await?),
            "add" => Outcome::word(counter.add(arguments.number("what to add")?).await?),
            "set" => ok().with("previous", counter.set(arguments.number("a value")?).await?).into(),
            "cas" => {
                let (expected, value) = (arguments.number("what is expected")?, arguments.number("a value")?);
                match counter.compare_and_set(expected, value).await? {
                    Swap::Swapped => ok().with("swapped", true).with("value", value).into(),
                    Swap::Kept { value } => ok().with("swapped", false).with("value", value).into(),
                }
            }
            verb => return unknown(verb),
        })
    }
}

/// What the SDK says with a truth value.
fn ok_or_timed_out(in_time: bool) -> Outcome {
    Outcome::word(if in_time { "ok" } else { "timed_out" })
}
