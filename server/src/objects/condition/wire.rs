//! A condition on the wire and on disk: the only place that knows its generated types.

use super::super::{
    grant::{Grant, Owner, wire as grant},
    kind::{Damaged, Moment, SessionId, Wire},
};
use super::{Change, Command, Condition, Count, Held, Notice, Options, Reply, Returning};
use bursar_proto::{
    Fault, Wait,
    v1::{answer, condition as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Condition {
    fn create(options: &registry::Options, epoch: u64) -> Result<Condition, Fault> {
        let Some(registry::options::Kind::Condition(pb::Options { on_deadlock })) = options.kind else {
            return Err(grant::foreign_options("condition", options));
        };
        Ok(Condition::new(Options { refuses_deadlock: grant::refuses_deadlock(on_deadlock)? }, epoch))
    }

    fn options(&self) -> registry::Options {
        let Options { refuses_deadlock } = self.options;
        let options = pb::Options { on_deadlock: grant::on_deadlock(refuses_deadlock) };
        registry::Options { kind: Some(registry::options::Kind::Condition(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let verb = match command {
            bursar_proto::Command::Condition(verb) => verb,
            other => return Err(grant::foreign_verb("condition", &other)),
        };
        Ok(match verb {
            Verb::Acquire(pb::AcquireRequest { object: _, wait_ms, owner }) => {
                Command::Acquire { owner, waits: grant::waits(wait_ms)? }
            }
            Verb::Release(pb::ReleaseRequest { object: _, token }) => Command::Release { token },
            Verb::Wait(pb::WaitRequest { object: _, wait_ms, token }) => {
                Wait::from_ms(wait_ms)?;
                Command::Wait { token }
            }
            Verb::Notify(pb::NotifyRequest { object: _, token, count, all }) => {
                let count = match (count, all) {
                    (0, true) => Count::All,
                    (count, false) => Count::UpTo(count.max(1)),
                    (count, true) => {
                        let problem = format!("expected either all or a count, got both (count is {count})");
                        return Err(Fault::bad_argument("all", problem));
                    }
                };
                Command::Notify { token, count }
            }
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Acquire { token } => Verb::Acquire(pb::AcquireReply { token }),
            Reply::Release => Verb::Release(pb::ReleaseReply {}),
            Reply::Wait { token, notified } => Verb::Wait(pb::WaitReply { token, notified }),
            Reply::Notify { count } => Verb::Notify(pb::NotifyReply { count }),
        };
        answer::Reply::Condition(pb::Reply { verb: Some(verb) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        use pb::reply::Verb;
        let answer::Reply::Condition(pb::Reply { verb: Some(verb) }) = reply else { return None };
        match verb {
            Verb::Acquire(pb::AcquireReply { token }) => Some(Reply::Acquire { token }),
            Verb::Wait(pb::WaitReply { token, notified }) => Some(Reply::Wait { token, notified }),
            Verb::Release(_) | Verb::Notify(_) => None,
        }
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(change.clone())) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of a condition that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of a condition".into())),
            Some(change) => Ok(recall(change)),
        }
    }
}

fn keep(change: Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Granted { grant, waiter } => Kept::Granted(keep_grant(grant, waiter)),
        Change::Released { token } => Kept::Released(pb::Released { token }),
        Change::Waiting { token } => Kept::Waiting(pb::Waiting { token }),
        Change::Notified { count } => Kept::Notified(pb::Notified { count }),
        Change::Overdue { waiter } => Kept::Overdue(pb::Overdue { waiter }),
        Change::Left { waiter } => Kept::Left(pb::Left { waiter }),
        Change::Departed { session: SessionId(session) } => Kept::Departed(pb::Departed { session }),
        Change::Restored { last_token, last_waiter, held, waiting, returning } => Kept::Restored(pb::Restored {
            last_token,
            last_waiter,
            held: held.map(|held| keep_grant(held.grant, held.waiter)),
            held_notified_upto: upto(held.and_then(|held| held.notice)),
            waiting: waiting.into_iter().map(|(number, owner)| keep_waiter(number, owner, None)).collect(),
            returning: returning.into_iter().map(keep_returning).collect(),
        }),
    }
}

fn keep_grant(grant: Grant, waiter: u64) -> pb::Granted {
    let Grant { token, owner: Owner { session: SessionId(session), number: owner }, since: Moment(now_ms) } = grant;
    pb::Granted { token, session, owner, now_ms, waiter }
}

fn keep_waiter(number: u64, owner: Owner, notice: Option<Notice>) -> pb::Waiter {
    let Owner { session: SessionId(session), number: owner } = owner;
    pb::Waiter { number, session, owner, notified_upto: upto(notice) }
}

fn keep_returning(returning: Returning) -> pb::Waiter {
    let Returning { waiter, owner, notice } = returning;
    keep_waiter(waiter, owner, notice)
}

/// 0 is none: waits are numbered from 1.
fn upto(notice: Option<Notice>) -> u64 {
    notice.map_or(0, |Notice { upto }| upto)
}

fn recall(change: pb::change::Change) -> Change {
    use pb::change::Change as Kept;
    match change {
        Kept::Granted(granted) => {
            let (grant, waiter) = recall_grant(granted);
            Change::Granted { grant, waiter }
        }
        Kept::Released(pb::Released { token }) => Change::Released { token },
        Kept::Waiting(pb::Waiting { token }) => Change::Waiting { token },
        Kept::Notified(pb::Notified { count }) => Change::Notified { count },
        Kept::Overdue(pb::Overdue { waiter }) => Change::Overdue { waiter },
        Kept::Left(pb::Left { waiter }) => Change::Left { waiter },
        Kept::Departed(pb::Departed { session }) => Change::Departed { session: SessionId(session) },
        Kept::Restored(restored) => recall_restored(restored),
    }
}

fn recall_restored(restored: pb::Restored) -> Change {
    let pb::Restored { last_token, last_waiter, held, held_notified_upto, waiting, returning } = restored;
    let held = held.map(recall_grant);
    Change::Restored {
        last_token,
        last_waiter,
        held: held.map(|(grant, waiter)| Held { grant, waiter, notice: recall_notice(held_notified_upto) }),
        waiting: waiting.into_iter().map(recall_waiter).map(|returning| (returning.waiter, returning.owner)).collect(),
        returning: returning.into_iter().map(recall_waiter).collect(),
    }
}

fn recall_grant(granted: pb::Granted) -> (Grant, u64) {
    let pb::Granted { token, session, owner, now_ms, waiter } = granted;
    (Grant { token, owner: Owner { session: SessionId(session), number: owner }, since: Moment(now_ms) }, waiter)
}

fn recall_waiter(waiter: pb::Waiter) -> Returning {
    let pb::Waiter { number, session, owner, notified_upto } = waiter;
    let owner = Owner { session: SessionId(session), number: owner };
    Returning { waiter: number, owner, notice: recall_notice(notified_upto) }
}

fn recall_notice(upto: u64) -> Option<Notice> {
    (upto != 0).then_some(Notice { upto })
}
