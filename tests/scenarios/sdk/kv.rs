//! The key-value store, and its watches.

use super::{Arguments, Outcome, Part, Payload, Result, Sdk, fence, letter, ok, opened::open_and_keep, unknown};
use crate::scenarios::wire;
use bursar::{
    Kv, Raw,
    kv::{self, WatchEvent},
};
use bursar_proto::v1;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

impl Sdk {
    pub(super) async fn open_kv(&self, mode: &str, name: &str, arguments: &mut Arguments) -> Result {
        let builder = self
            .manager
            .raw_kv(name)
            .max_keys(arguments.field("max_keys")?)
            .max_bytes(arguments.field("max_bytes")?)
            .events_max(arguments.field("events_max")?);
        Ok(open_and_keep!(self.kvs, name, builder, mode, arguments))
    }

    /// Under the fence that the script gives, if any.
    async fn kv(&self, name: &str, arguments: &mut Arguments) -> Result<Kv<Raw>> {
        let kv = self.kvs.get(name, self.manager.raw_kv(name).open()).await?;
        Ok(fence(arguments)?.map_or_else(|| Kv::clone(&kv), |fence| kv.fenced(&fence)))
    }

    pub(super) async fn kv_verb(
        &self,
        verb: &str,
        name: &str,
        arguments: &mut Arguments,
        letters: &BTreeMap<u64, String>,
        number: usize,
    ) -> Result {
        let kv = self.kv(name, arguments).await?;
        Ok(match verb {
            "get" => match kv.entry(&key(arguments)?).await? {
                Some(entry) => held(entry, letters).into(),
                None => Outcome::word("none"),
            },
            "touch" => Outcome::word(kv.touch(&key(arguments)?).await?),
            "put" => {
                let (key, Payload(value)) = (key(arguments)?, arguments.payload()?);
                let options = kv::PutOptions {
                    ttl: arguments.duration("ttl")?,
                    keep_ttl: arguments.field("keep_ttl")?,
                    bind: arguments.field("bind")?,
                    condition: condition(arguments)?,
                };
                ok().with("revision", kv.put_with(&key, value, &options).await?).into()
            }
            "delete" => Outcome::word(kv.delete(&key(arguments)?).await?),
            "pop" => kv.pop(&key(arguments)?).await?.map_or(Outcome::word("none"), |value| Outcome::word(Payload(value))),
            "setdefault" => {
                let (key, Payload(value)) = (key(arguments)?, arguments.payload()?);
                Outcome::word(Payload(kv.setdefault(&key, value).await?))
            }
            "contains" => Outcome::word(kv.contains(&key(arguments)?).await?),
            "len" => Outcome::word(kv.len().await?),
            "keys" => Outcome::list(kv.keys().await?.into_iter().map(|key| Part::of([key])).collect()),
            "scan" => {
                let entries = kv.scan(&arguments.text("prefix").unwrap_or_default()).await?;
                let with_key = |entry: kv::Entry<Raw>| {
                    let key = entry.key.clone();
                    let mut part = held(entry, letters);
                    part.words.insert(0, key);
                    part
                };
                Outcome::list(entries.into_iter().map(with_key).collect())
            }
            "clear" => Outcome::word(kv.clear().await?),
            "incr" => Outcome::word(kv.incr(&key(arguments)?, arguments.number("what to add")?).await?),
            "update" => {
                let (key, Payload(more)) = (key(arguments)?, arguments.payload()?);
                let append = |old: Option<Raw>| {
                    let old = old.map_or(bytes::Bytes::new(), |old| old.data);
                    Some(Raw::from([&old[..], &more.data[..]].concat()))
                };
                let value = kv.update(&key, append).await?;
                value.map_or(Outcome::word("none"), |value| Outcome::word(Payload(value)))
            }
            "expire" => {
                let (key, ttl) = (key(arguments)?, arguments.number("a ttl")?);
                Outcome::word(kv.expire(&key, Duration::from_millis(ttl)).await?)
            }
            "persist" => Outcome::word(kv.persist(&key(arguments)?).await?),
            "watch" => {
                let since = match arguments.text("since").as_deref() {
                    None | Some("now") => kv::Since::Now,
                    Some("start") => kv::Since::Start,
                    Some(revision) => kv::Since::Revision(revision.parse().map_err(|_| "since: expected a revision".to_owned())?),
                };
                let watch = kv.watch(&arguments.text("prefix").unwrap_or_default(), since).await?;
                let name = format!("watch-{number}");
                self.watches.lock().insert(name.clone(), Arc::new(tokio::sync::Mutex::new(watch)));
                ok().named(name).into()
            }
            "event" => {
                let name = arguments.word("a watch")?;
                let watch = self.watches.lock().get(&name).cloned().ok_or_else(|| format!("{name} is no watch"))?;
                let event = watch.lock().await.next().await?;
                event_part(event).into()
            }
            verb => return unknown(verb),
        })
    }
}

fn key(arguments: &mut Arguments) -> Result<String> {
    Ok(arguments.word("a key")?)
}

fn condition(arguments: &mut Arguments) -> Result<Option<kv::Condition>> {
    Ok(match (arguments.optional("if_revision")?, arguments.text("if").as_deref()) {
        (Some(revision), None) => Some(kv::Condition::Revision(revision)),
        (None, Some("absent")) => Some(kv::Condition::Absent),
        (None, Some("present")) => Some(kv::Condition::Present),
        (None, None) => None,
        _ => return Err("expected if_revision=N, if=absent or if=present".to_owned().into()),
    })
}

fn held(entry: kv::Entry<Raw>, letters: &BTreeMap<u64, String>) -> Part {
    let Raw { data, codec } = entry.value;
    let entry = v1::kv::Entry {
        key: entry.key,
        value: Some(v1::Value { data, codec }),
        create_revision: entry.create_revision,
        modify_revision: entry.modify_revision,
        ttl_left_ms: entry.ttl_left.map_or(0, |left| left.as_millis() as u64),
        session: entry.session.unwrap_or(0),
    };
    wire::held(entry, &|session| letter(letters, session))
}

fn event_part(event: WatchEvent<Raw>) -> Part {
    match event {
        WatchEvent::Put { key, value, revision } => {
            Part::of(["put".into(), key, Payload(value).to_string()]).with("revision", revision)
        }
        WatchEvent::Delete { key, revision, cause } => {
            Part::of(["delete".into(), key]).with("revision", revision).with("cause", cause)
        }
        WatchEvent::Reset => Part::of(["reset".into()]),
        WatchEvent::Synced { revision } => Part::of(["synced".into()]).with("revision", revision),
    }
}
