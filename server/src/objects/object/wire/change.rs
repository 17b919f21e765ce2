//! The changes of an object as they are kept.

use super::{
    super::{
        Change,
        history::{Restored, RestoredCall},
    },
    *,
};
use crate::objects::kind::Moment;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

pub(super) fn encode(change: &Change) -> pb::Change {
    pb::Change { version: VERSION, change: Some(keep(change)) }
}

pub(super) fn decode(pb::Change { version, change }: pb::Change) -> Result<Change, Damaged> {
    match change {
        _ if version > VERSION => Err(damaged("a change of an object that only a newer broker understands")),
        None => Err(damaged("an unknown change of an object")),
        Some(change) => recall(change),
    }
}

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Provided { session, description, capacity } => Kept::Provided(pb::Provided {
            session: session.0,
            description: Some(write_description(description)),
            capacity: *capacity as u32,
        }),
        Change::Withdrawn { provider } => Kept::Withdrawn(pb::Withdrawn { provider: *provider }),
        Change::Asked { provider } => Kept::Asked(pb::Asked { provider: *provider }),
        Change::Stopped { provider, ask } => Kept::Stopped(pb::Stopped { provider: *provider, ask: *ask }),
        Change::Taken { provider, ask, calls, cancelled } => {
            let (calls, cancelled) = (calls.clone(), cancelled.clone());
            Kept::Taken(pb::Taken { provider: *provider, ask: *ask, calls, cancelled })
        }
        Change::Untaken { provider, calls, cancelled } => {
            Kept::Untaken(pb::Untaken { provider: *provider, calls: calls.clone(), cancelled: cancelled.clone() })
        }
        Change::Answered { provider, ends } => {
            let ends = ends.iter().map(|(call, end)| keep_end(*call, end.as_ref())).collect();
            Kept::Answered(pb::Answered { provider: *provider, ends })
        }
        Change::Yielded { call, items } => Kept::Yielded(pb::Yielded { call: *call, items: write_values(items) }),
        Change::Invoked { session, invocation, deadline } => Kept::Invoked(pb::Invoked {
            session: session.0,
            invocation: Some(keep_invocation(invocation)),
            deadline_ms: deadline.map(|Moment(ms)| ms),
        }),
        Change::Overdue { call } => Kept::Overdue(pb::Overdue { call: *call }),
        Change::TakenBack { call } => Kept::TakenBack(pb::TakenBack { call: *call }),
        Change::Told { call } => Kept::Told(pb::Told { call: *call }),
        Change::Begun { call } => Kept::Begun(pb::Begun { call: *call }),
        Change::Read { call, count, over } => Kept::Read(pb::Read { call: *call, count: *count, over: *over }),
        Change::Unread { session, call, items, end } => Kept::Unread(pb::Unread {
            session: session.0,
            call: *call,
            items: write_values(items),
            end: end.as_ref().map(|end| keep_end(*call, Some(end))),
        }),
        Change::Departed { session } => Kept::Departed(pb::Departed { session: session.0 }),
        Change::Restored(restored) => Kept::Restored(pb::Restored { part: Some(keep_part(restored)) }),
    }
}

fn keep_end(call: u64, end: Option<&End>) -> pb::KeptEnd {
    use pb::kept_end::End as Kept;
    let end = match end {
        None => Kept::NotBegun(pb::NotBegun {}),
        Some(End::Result(value)) => Kept::Result(value.clone().into()),
        Some(End::Failure(failure)) => Kept::Failure(write_failure(failure.clone())),
        Some(End::Ended) => Kept::Ended(pb::Ended {}),
        Some(End::Fault(fault)) => Kept::Fault(fault.into()),
    };
    pb::KeptEnd { call, end: Some(end) }
}

fn keep_invocation(Invocation { object, method, arguments, chain, waits_for_provider }: &Invocation) -> pb::Invocation {
    pb::Invocation {
        object: object.to_string(),
        method: method.to_string(),
        arguments: arguments.iter().map(write_argument).collect(),
        chain: chain.iter().map(write_link).collect(),
        waits_for_provider: *waits_for_provider,
    }
}

fn keep_part(restored: &Restored) -> pb::restored::Part {
    use pb::restored::Part;
    match restored {
        Restored::Object { last_provider, last_ask, last_call, counters: Counters { given_again, gone }, description } => {
            Part::Object(pb::RestoredObject {
                last_provider: *last_provider,
                last_ask: *last_ask,
                last_call: *last_call,
                given_again: *given_again,
                gone: *gone,
                description: description.as_deref().map(write_description),
            })
        }
        Restored::Provider { provider, session, capacity, methods, asks, offered, cancelled } => {
            Part::Provider(pb::RestoredProvider {
                provider: *provider,
                session: session.0,
                capacity: *capacity as u32,
                methods: methods.iter().map(|method| method.to_string()).collect(),
                asks: asks.clone(),
                offered: offered.clone(),
                cancelled: cancelled.clone(),
            })
        }
        Restored::Call(RestoredCall { call, session, invocation, deadline, provider, lost, is_wanted, is_begun, end }) => {
            Part::Call(pb::RestoredCall {
                call: *call,
                session: session.0,
                invocation: Some(keep_invocation(invocation)),
                deadline_ms: deadline.map(|Moment(ms)| ms),
                provider: provider.unwrap_or(0),
                lost: *lost,
                unwanted: !is_wanted,
                begun: *is_begun,
                end: end.as_ref().map(|end| keep_end(*call, Some(end))),
            })
        }
        Restored::Items { call, items } => Part::Items(pb::RestoredItems { call: *call, items: write_values(items) }),
    }
}

fn recall(change: pb::change::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Kept;
    Ok(match change {
        Kept::Provided(pb::Provided { session, description, capacity }) => {
            let description = description.ok_or_else(|| damaged("a provider without its description"))?;
            let description = Arc::new(recall_description(description));
            Change::Provided { session: SessionId(session), description, capacity: u64::from(capacity) }
        }
        Kept::Withdrawn(pb::Withdrawn { provider }) => Change::Withdrawn { provider },
        Kept::Asked(pb::Asked { provider }) => Change::Asked { provider },
        Kept::Stopped(pb::Stopped { provider, ask }) => Change::Stopped { provider, ask },
        Kept::Taken(pb::Taken { provider, ask, calls, cancelled }) => Change::Taken { provider, ask, calls, cancelled },
        Kept::Untaken(pb::Untaken { provider, calls, cancelled }) => Change::Untaken { provider, calls, cancelled },
        Kept::Answered(pb::Answered { provider, ends }) => {
            Change::Answered { provider, ends: ends.into_iter().map(recall_end).collect::<Result<_, _>>()? }
        }
        Kept::Yielded(pb::Yielded { call, items }) => Change::Yielded { call, items: recall_values(items) },
        Kept::Invoked(pb::Invoked { session, invocation, deadline_ms }) => Change::Invoked {
            session: SessionId(session),
            invocation: recall_invocation(invocation)?,
            deadline: deadline_ms.map(Moment),
        },
        Kept::Overdue(pb::Overdue { call }) => Change::Overdue { call },
        Kept::TakenBack(pb::TakenBack { call }) => Change::TakenBack { call },
        Kept::Told(pb::Told { call }) => Change::Told { call },
        Kept::Begun(pb::Begun { call }) => Change::Begun { call },
        Kept::Read(pb::Read { call, count, over }) => Change::Read { call, count, over },
        Kept::Unread(pb::Unread { session, call, items, end }) => {
            let end = end.map(recall_end).transpose()?.and_then(|(_, end)| end);
            Change::Unread { session: SessionId(session), call, items: recall_values(items), end }
        }
        Kept::Departed(pb::Departed { session }) => Change::Departed { session: SessionId(session) },
        Kept::Restored(pb::Restored { part }) => {
            Change::Restored(recall_part(part.ok_or_else(|| damaged("an unknown part of an object"))?)?)
        }
    })
}

fn recall_end(pb::KeptEnd { call, end }: pb::KeptEnd) -> Result<(u64, Option<End>), Damaged> {
    use pb::kept_end::End as Kept;
    let end = match end.ok_or_else(|| damaged("an unknown end of a call"))? {
        Kept::NotBegun(pb::NotBegun {}) => return Ok((call, None)),
        Kept::Result(value) => End::Result(recall_value(value)),
        Kept::Failure(failure) => End::Failure(recall_failure(failure)),
        Kept::Ended(pb::Ended {}) => End::Ended,
        Kept::Fault(fault) => End::Fault(fault.into()),
    };
    Ok((call, Some(end)))
}

fn recall_invocation(invocation: Option<pb::Invocation>) -> Result<Arc<Invocation>, Damaged> {
    let invocation = invocation.ok_or_else(|| damaged("a call without what is to be done"))?;
    let pb::Invocation { object, method, arguments, chain, waits_for_provider } = invocation;
    let argument = |pb::Argument { name, value }: pb::Argument| Ok((name, Value::recall(value)?));
    Ok(Arc::new(Invocation {
        object: object.into(),
        method: method.into(),
        arguments: arguments.into_iter().map(argument).collect::<Result<_, Damaged>>()?,
        chain: chain.into_iter().map(recall_link).collect(),
        waits_for_provider,
    }))
}

fn recall_part(part: pb::restored::Part) -> Result<Restored, Damaged> {
    use pb::restored::Part;
    Ok(match part {
        Part::Object(pb::RestoredObject { last_provider, last_ask, last_call, given_again, gone, description }) => {
            let description = description.map(recall_description).map(Arc::new);
            Restored::Object { last_provider, last_ask, last_call, counters: Counters { given_again, gone }, description }
        }
        Part::Provider(pb::RestoredProvider { provider, session, capacity, methods, asks, offered, cancelled }) => {
            Restored::Provider {
                provider,
                session: SessionId(session),
                capacity: u64::from(capacity),
                methods: methods.into_iter().map(Arc::from).collect(),
                asks,
                offered,
                cancelled,
            }
        }
        Part::Call(call) => Restored::Call(recall_call(call)?),
        Part::Items(pb::RestoredItems { call, items }) => Restored::Items { call, items: recall_values(items) },
    })
}

fn recall_call(kept: pb::RestoredCall) -> Result<RestoredCall, Damaged> {
    let pb::RestoredCall { call, session, invocation, deadline_ms, provider, lost, unwanted, begun, end } = kept;
    Ok(RestoredCall {
        call,
        session: SessionId(session),
        invocation: recall_invocation(invocation)?,
        deadline: deadline_ms.map(Moment),
        provider: (provider != 0).then_some(provider),
        lost,
        is_wanted: !unwanted,
        is_begun: begun,
        end: end.map(recall_end).transpose()?.and_then(|(_, end)| end),
    })
}

fn damaged(what: &str) -> Damaged {
    Damaged(what.to_owned())
}
