//! Kinds that are held: lock, rwlock, semaphore, condition. The guards stay here until the script gives them back, or the session ends.

use super::{
    Arguments, Outcome, Result, ok,
    opened::{Opened, open_and_keep},
    unknown,
};
use crate::scenarios::kinds::token;
use bursar::{
    Condition, ConditionGuard, Lock, LockGuard, Manager, Permits, ReadGuard, RwLock, Semaphore, WriteGuard, condition, lock,
    rwlock, semaphore,
};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What a session holds, and the handles for it.
#[derive(Default)]
pub struct Holders {
    locks: Opened<Lock>,
    rwlocks: Opened<RwLock>,
    semaphores: Opened<Semaphore>,
    conditions: Opened<Condition>,
    /// By the object's name and the token; a reentrant lock has several under one.
    guards: Mutex<HashMap<(String, u64), Vec<Guard>>>,
}

enum Guard {
    Lock(LockGuard),
    Read(ReadGuard),
    Write(WriteGuard),
    Permits(Permits),
    Condition(ConditionGuard),
}

impl Holders {
    fn keep(&self, name: &str, token: u64, guard: Guard) {
        self.guards.lock().entry((name.to_owned(), token)).or_default().push(guard);
    }

    fn guard(&self, name: &str, arguments: &mut Arguments) -> Result<Guard> {
        let token: u64 = arguments.number("a token")?;
        let guard = self.guards.lock().get_mut(&(name.to_owned(), token)).and_then(Vec::pop);
        guard.ok_or_else(|| format!("an SDK gives back only what it holds, and {token} is nothing of {name}: needs: raw?").into())
    }

    async fn release(&self, name: &str, arguments: &mut Arguments) -> Result {
        match self.guard(name, arguments)? {
            Guard::Lock(guard) => guard.release().await?,
            Guard::Read(guard) => guard.release().await?,
            Guard::Write(guard) => guard.release().await?,
            Guard::Permits(guard) => guard.release().await?,
            Guard::Condition(guard) => guard.release().await?,
        }
        Ok(ok().into())
    }

    pub async fn lock(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        Ok(match verb {
            "create" | "open" | "open_or_create" => {
                open_and_keep!(self.locks, name, lock_builder(manager.lock(name), arguments)?, verb, arguments)
            }
            "acquire" => {
                let lock = self.locks.get_for(name, arguments.field("owner")?, manager.lock(name).open()).await?;
                let guard = lock.acquire_within(arguments.wait()?).await?;
                let part = token(guard.token()).with("depth", guard.depth());
                self.keep(name, guard.token(), Guard::Lock(guard));
                part.into()
            }
            "release" => return self.release(name, arguments).await,
            verb => return unknown(verb),
        })
    }

    pub async fn rwlock(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        let open = manager.rwlock(name).open();
        Ok(match verb {
            "create" | "open" | "open_or_create" => {
                open_and_keep!(self.rwlocks, name, rwlock_builder(manager.rwlock(name), arguments)?, verb, arguments)
            }
            "read" => {
                let lock = self.rwlocks.get_for(name, arguments.field("owner")?, open).await?;
                let guard = lock.read_within(arguments.wait()?).await?;
                self.kept(name, guard.token(), Guard::Read(guard))
            }
            "write" => {
                let lock = self.rwlocks.get_for(name, arguments.field("owner")?, open).await?;
                let guard = lock.write_within(arguments.wait()?).await?;
                self.kept(name, guard.token(), Guard::Write(guard))
            }
            "downgrade" => {
                let Guard::Write(guard) = self.guard(name, arguments)? else {
                    return Err("an SDK makes readers of writers only: needs: raw?".to_owned().into());
                };
                let guard = guard.downgrade().await?;
                self.keep(name, guard.token(), Guard::Read(guard));
                ok().into()
            }
            "release" => return self.release(name, arguments).await,
            verb => return unknown(verb),
        })
    }

    /// A grant without any more to say of it.
    fn kept(&self, name: &str, number: u64, guard: Guard) -> Outcome {
        self.keep(name, number, guard);
        token(number).into()
    }

    pub async fn semaphore(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = semaphore_builder(manager.semaphore(name), arguments)?;
            return Ok(open_and_keep!(self.semaphores, name, builder, verb, arguments));
        }
        if verb == "release" {
            return self.release(name, arguments).await;
        }
        let semaphore = self.semaphores.get(name, manager.semaphore(name).open()).await?;
        let count = arguments.optional("count")?;
        Ok(match verb {
            "acquire" if arguments.field("consume")? => {
                if count.is_some() {
                    return Err("an SDK consumes one permit at a time: needs: raw?".to_owned().into());
                }
                semaphore.consume_within(arguments.wait()?).await?;
                ok().into()
            }
            "acquire" => {
                let permits = semaphore.acquire_many_within(count.unwrap_or(1), arguments.wait()?).await?;
                self.kept(name, permits.token(), Guard::Permits(permits))
            }
            "add" => ok().with("available", semaphore.add(count.unwrap_or(1)).await?).into(),
            verb => return unknown(verb),
        })
    }

    pub async fn condition(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        let open = manager.condition(name).open();
        Ok(match verb {
            "create" | "open" | "open_or_create" => {
                let builder = condition_builder(manager.condition(name), arguments)?;
                open_and_keep!(self.conditions, name, builder, verb, arguments)
            }
            "acquire" => {
                let condition = self.conditions.get_for(name, arguments.field("owner")?, open).await?;
                let guard = condition.acquire_within(arguments.wait()?).await?;
                self.kept(name, guard.token(), Guard::Condition(guard))
            }
            "wait" => {
                let condition = self.conditions.get(name, open).await?;
                let guard = self.condition_guard(name, arguments)?;
                let (guard, notified) = condition.wait_within(guard, arguments.wait()?).await?;
                let part = token(guard.token()).with("notified", notified);
                self.keep(name, guard.token(), Guard::Condition(guard));
                part.into()
            }
            "notify" => {
                let guard = self.condition_guard(name, arguments)?;
                let (count, all) = (arguments.optional("count")?, arguments.field("all")?);
                let notified = if all { guard.notify_all().await? } else { guard.notify(count.unwrap_or(1)).await? };
                self.keep(name, guard.token(), Guard::Condition(guard));
                ok().with("count", notified).into()
            }
            "release" => return self.release(name, arguments).await,
            verb => return unknown(verb),
        })
    }

    fn condition_guard(&self, name: &str, arguments: &mut Arguments) -> Result<ConditionGuard> {
        match self.guard(name, arguments)? {
            Guard::Condition(guard) => Ok(guard),
            _ => Err(format!("{name} is no condition").into()),
        }
    }
}

/// Whether an acquire that closes a circle is to be refused.
fn refuses(arguments: &mut Arguments) -> Result<bool> {
    match arguments.text("on_deadlock").as_deref() {
        None | Some("show") => Ok(false),
        Some("refuse") => Ok(true),
        Some(other) => Err(format!("on_deadlock: expected show or refuse, got {other:?}: needs: raw?").into()),
    }
}

fn lock_builder(mut builder: lock::Builder, arguments: &mut Arguments) -> Result<lock::Builder> {
    if arguments.field("reentrant")? {
        builder = builder.reentrant();
    }
    Ok(if refuses(arguments)? { builder.refuse_deadlock() } else { builder })
}

fn rwlock_builder(builder: rwlock::Builder, arguments: &mut Arguments) -> Result<rwlock::Builder> {
    Ok(if refuses(arguments)? { builder.refuse_deadlock() } else { builder })
}

fn semaphore_builder(builder: semaphore::Builder, arguments: &mut Arguments) -> Result<semaphore::Builder> {
    let mut builder = builder.permits(arguments.field("permits")?);
    if arguments.field("bounded")? {
        builder = builder.bounded();
    }
    Ok(if refuses(arguments)? { builder.refuse_deadlock() } else { builder })
}

fn condition_builder(builder: condition::Builder, arguments: &mut Arguments) -> Result<condition::Builder> {
    Ok(if refuses(arguments)? { builder.refuse_deadlock() } else { builder })
}
