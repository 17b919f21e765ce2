//! The queue: leases stay here until the script settles them, or the session ends.

use super::{Arguments, Outcome, Part, Payload, Result, Sdk, fence, ok, opened::open_and_keep, unknown};
use crate::scenarios::wire;
use bursar::{
    Fence, Lease, Queue, Raw,
    queue::{self, OnDuplicate},
};
use bursar_proto::v1;
use std::time::Duration;

impl Sdk {
    pub(super) async fn open_queue(&self, mode: &str, name: &str, arguments: &mut Arguments) -> Result {
        let builder = self
            .manager
            .raw_queue(name)
            .maxsize(arguments.field("maxsize")?)
            .max_bytes(arguments.field("max_bytes")?)
            .max_failures(arguments.field("max_failures")?)
            .max_crashes(arguments.field("max_crashes")?)
            .retry_delay(arguments.duration("retry_delay")?)
            .unique_window(arguments.duration("unique_window")?);
        Ok(open_and_keep!(self.queues, name, builder, mode, arguments))
    }

    /// Under the fence that the script gives, if any.
    async fn queue(&self, name: &str, fence: Option<&Fence>) -> Result<Queue<Raw>> {
        let queue = self.queues.get(name, self.manager.raw_queue(name).open()).await?;
        Ok(fence.map_or_else(|| Queue::clone(&queue), |fence| queue.fenced(fence)))
    }

    pub(super) async fn queue_verb(&self, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        let fence = fence(arguments)?;
        let queue = self.queue(name, fence.as_ref()).await?;
        if fence.is_some() && (["retry", "release"].contains(&verb) || verb == "park" && arguments.has_words()) {
            return Err("the SDK gives a lease back under the fence under which it was got: needs: raw?".to_owned().into());
        }
        Ok(match verb {
            "put" => return put(&queue, arguments).await,
            "get" => {
                let wait = arguments.wait()?;
                let leases = match arguments.optional("max")? {
                    None => vec![queue.get_within(wait).await?],
                    Some(max) => queue.get_many(max, wait).await?,
                };
                self.keep(name, leases)
            }
            "take" => Outcome::word(Payload(queue.take_within(arguments.wait()?).await?)),
            "done" => {
                match arguments.optional::<u32>("oldest")? {
                    None if fence.is_some() => queue.done_many([self.lease(name, arguments)?]).await?,
                    None => self.lease(name, arguments)?.done().await?,
                    Some(1) => queue.task_done().await?,
                    Some(_) => return Err("the SDK settles one oldest lease at a time".to_owned().into()),
                }
                ok().into()
            }
            "retry" => {
                let delay = arguments.optional("delay")?.map(Duration::from_millis);
                let why = arguments.text("why").unwrap_or_default();
                self.lease(name, arguments)?.retry_because(why, delay).await?;
                ok().into()
            }
            "release" => {
                self.lease(name, arguments)?.release().await?;
                ok().into()
            }
            "park" => {
                let (ids, why) = (arguments.list("ids")?, arguments.text("why").unwrap_or_default());
                let not_found = if ids.is_empty() {
                    self.lease(name, arguments)?.park(why).await?;
                    vec![]
                } else {
                    queue.park(&ids, why).await?
                };
                ok().with_list("not_found", not_found).into()
            }
            "parked" => Outcome::list(queue.parked().await?.into_iter().map(parked).collect()),
            "unpark" => Outcome::word(queue.unpark(&arguments.list("ids")?).await?),
            "discard" => Outcome::word(queue.discard(&arguments.list("ids")?).await?),
            "join" => {
                queue.join_within(arguments.wait()?).await?;
                ok().into()
            }
            "close" => ok().with("dropped", queue.shutdown(arguments.field("immediate")?).await?).into(),
            "pause" => {
                queue.pause().await?;
                ok().into()
            }
            "resume" => {
                queue.resume().await?;
                ok().into()
            }
            "stats" => stats(queue.stats().await?).into(),
            "peek" => {
                let items = queue.peek(arguments.field("limit")?).await?;
                Outcome::list(items.into_iter().map(|item| wire::seen(seen(item))).collect())
            }
            "purge" => Outcome::word(queue.purge().await?),
            verb => return unknown(verb),
        })
    }

    /// Leases stay here until the script settles them, or the session ends.
    fn keep(&self, name: &str, leases: Vec<Lease<Raw>>) -> Outcome {
        let mut parts = Vec::new();
        for lease in leases {
            let Raw { data, codec } = (*lease).clone();
            parts.push(wire::leased(v1::queue::Leased {
                lease: lease.lease_id(),
                id: lease.id(),
                attempt: lease.attempt(),
                data,
                codec,
                priority: u32::from(lease.priority()),
                headers: lease.headers().clone(),
                put_ms: 0,
                failures: lease.failures(),
                crashes: lease.crashes(),
            }));
            self.leases.lock().insert((name.to_owned(), lease.lease_id()), lease);
        }
        Outcome::list(parts)
    }

    fn lease(&self, name: &str, arguments: &mut Arguments) -> Result<Lease<Raw>> {
        let number: u64 = arguments.number("a lease")?;
        let lease = self.leases.lock().remove(&(name.to_owned(), number));
        lease.ok_or_else(|| format!("an SDK settles only a lease that it has, and {number} is none: needs: raw?").into())
    }
}

async fn put(queue: &Queue<Raw>, arguments: &mut Arguments) -> Result {
    let options = queue::PutOptions {
        priority: arguments.field("priority")?,
        delay: arguments.duration("delay")?,
        ttl: arguments.duration("ttl")?,
        unique_key: arguments.text("unique_key").unwrap_or_default().into(),
        on_duplicate: match arguments.text("on_duplicate").as_deref() {
            None | Some("reject") => OnDuplicate::Reject,
            Some("replace") => OnDuplicate::Replace,
            Some("merge") => OnDuplicate::Merge,
            Some(_) => return Err("on_duplicate: expected reject, replace or merge".to_owned().into()),
        },
        headers: arguments.headers(),
    };
    let wait = arguments.wait()?;
    let mut payloads = arguments.payloads()?.into_iter().map(|Payload(raw)| raw).collect::<Vec<_>>();
    if let [_] = payloads[..] {
        let id = queue.put_with(payloads.remove(0), &options, wait).await?;
        return Ok(ok().with("id", id).into());
    }
    if wait != bursar::Wait::Forever {
        return Err("the SDK puts several items with wait=forever only: needs: raw?".to_owned().into());
    }
    Ok(ok().with_list("ids", queue.put_many_with(payloads, &options).await?).into())
}

fn seen(seen: queue::Seen<Raw>) -> v1::queue::Seen {
    v1::queue::Seen {
        id: seen.id,
        data: seen.item.data,
        codec: seen.item.codec,
        priority: seen.priority,
        headers: seen.headers,
        put_ms: 0,
        failures: seen.failures,
        crashes: seen.crashes,
        unique_key: seen.unique_key,
    }
}

fn parked(parked: queue::Parked<Raw>) -> Part {
    let event = |event: queue::Event| v1::queue::Event { what: event.what, why: event.why, ..Default::default() };
    let history = parked.history.into_iter().map(event).collect();
    wire::parked(v1::queue::ParkedItem { item: Some(seen(parked.seen)), why: parked.why, parked_ms: 0, history })
}

fn stats(stats: queue::Stats) -> Part {
    wire::stats(&v1::queue::StatsReply {
        ready: stats.ready,
        delayed: stats.delayed,
        leased: stats.leased,
        parked: stats.parked,
        unfinished: stats.unfinished,
        bytes: stats.bytes,
        oldest_ms: stats.oldest.as_millis() as u64,
        closed: stats.closed,
        paused: stats.paused,
        put: stats.put,
        done: stats.done,
        expired: stats.expired,
        dropped: stats.dropped,
        failures: stats.failures,
        crashes: stats.crashes,
        released: stats.released,
        taken_back: stats.taken_back,
    })
}
