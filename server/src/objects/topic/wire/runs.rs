//! Messages as they are given: encoded once for all subscriptions, neighbours in one piece.
//!
//! ```text
//!   first to be given them:  | 1 | 2 | 3 | 4 |  | 5 | 6 |   encodes runs, and each message remembers its place
//!   another, who has 1:          | 2 | 3 | 4 |  | 5 | 6 |   is given two slices
//! ```
//!
//! What a single subscription is told, that it missed something before a message, or that it comes again, is encoded for it alone.

use super::{super::published::Place, Waiting, encoded};
use bursar_proto::frame::{Given, NextReply};
use bytes::Bytes;

/// Messages of up to this size are kept as they go out too, once they did: encoding costs more than copying. Larger ones are
/// encoded for each, as large ones are not copied for that, and would take their memory a second time.
const SHARED_BYTES_MAX: usize = 1 << 10;
/// A run is kept as long as any of its messages: so much memory may one that waits long hold for others that are gone.
const RUN_BYTES_MAX: usize = 4 << 10;

/// For a reply.
pub(super) fn given(messages: &[Waiting]) -> Vec<Given> {
    let (mut given, mut rest) = (Vec::new(), messages);
    while let Some(first) = rest.first() {
        let count = match is_shared(first) {
            true => add_shared(rest, &mut given),
            false => {
                given.push(Given::Large(encoded(first)));
                1
            }
        };
        rest = &rest[count..];
    }
    given
}

fn is_shared(waiting: &Waiting) -> bool {
    waiting.missed == 0 && !waiting.redelivered && waiting.message.said.size <= SHARED_BYTES_MAX
}

/// Adds as many from the front as stand in one piece; says how many.
fn add_shared(messages: &[Waiting], given: &mut Vec<Given>) -> usize {
    if messages[0].message.encoded.get().is_none() {
        encode(messages);
    }
    let first = messages[0].message.encoded.get().expect("it was encoded just now, if not before");
    let (mut last, mut count) = (first, 1);
    for waiting in messages[1..].iter().take_while(|waiting| is_shared(waiting)) {
        let Some(place) = waiting.message.encoded.get().filter(|place| place.follows(last)) else { break };
        (last, count) = (place, count + 1);
    }
    given.push(Given::Run(first.to(last)));
    count
}

/// Encodes those from the front that are not encoded yet, as many as a run takes.
fn encode(messages: &[Waiting]) {
    let (mut run, mut ends) = (Vec::with_capacity(RUN_BYTES_MAX), Vec::new());
    for waiting in messages.iter().take_while(|waiting| is_shared(waiting) && waiting.message.encoded.get().is_none()) {
        if !ends.is_empty() && run.len() + waiting.message.said.size > RUN_BYTES_MAX {
            break;
        }
        NextReply::add_to_run(&mut run, &encoded(waiting));
        ends.push(run.len() as u32);
    }
    run.shrink_to_fit();
    let (run, mut start) = (Bytes::from(run), 0);
    for (waiting, end) in messages.iter().zip(ends) {
        waiting.message.encoded.keep(Place { run: run.clone(), start, end });
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{Published, Said},
        *,
    };
    use crate::objects::{
        kind::{Moment, SessionId},
        message::Content,
        value::Value,
    };
    use bursar_proto::v1::topic::Delivered;

    fn said(size: usize) -> Said {
        let value = Value { data: vec![b'x'; size].into(), codec: 0 };
        Said::new("a".into(), Content { value, headers: None, reply_to: None, answer_to: None })
    }

    fn published(sizes: &[usize]) -> Vec<Waiting> {
        let message = |(at, size): (usize, &usize)| Published::new(at as u64 + 1, said(*size), SessionId(1), Moment(1));
        let waiting = |message| Waiting { message, missed: 0, redelivered: false };
        sizes.iter().enumerate().map(message).map(waiting).collect()
    }

    /// As a client reads them.
    fn read(messages: Vec<Given>) -> Vec<Delivered> {
        NextReply { messages, ..NextReply::default() }.delivered().map(Result::unwrap).collect()
    }

    fn plain(messages: &[Waiting]) -> Vec<Delivered> {
        messages.iter().map(encoded).collect()
    }

    #[test]
    fn whoever_follows_is_given_the_same_bytes_in_one_piece() {
        let messages = published(&[10, 20, 30, 40]);
        let whole = given(&messages);
        assert_eq!((whole.len(), read(whole.clone())), (1, plain(&messages)));
        let tail = given(&messages[1..]);
        assert_eq!((tail.len(), read(tail.clone())), (1, plain(&messages[1..])));
        let (Given::Run(whole), Given::Run(tail)) = (&whole[0], &tail[0]) else { panic!("both are runs") };
        assert!(whole.as_ptr_range().contains(&tail.as_ptr()), "nothing was encoded again");
    }

    #[test]
    fn who_wants_only_some_is_given_a_piece_for_each_stretch() {
        let messages = published(&[10; 6]);
        given(&messages);
        let wanted = [0, 1, 3, 5].map(|at: usize| messages[at].clone());
        let stretches = given(&wanted);
        assert_eq!((stretches.len(), read(stretches)), (3, plain(&wanted)));
    }

    #[test]
    fn what_one_alone_is_told_and_what_is_large_is_not_shared() {
        let mut messages = published(&[10, 10, 10, 2 * SHARED_BYTES_MAX, 10]);
        messages[1].missed = 7;
        messages[2].redelivered = true;
        assert_eq!(read(given(&messages)), plain(&messages));
        let kept = messages.iter().map(|waiting| waiting.message.encoded.get().is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [true, false, false, false, true]);
    }

    #[test]
    fn a_run_is_bounded_and_goes_on_where_an_earlier_one_ended() {
        let messages = published(&[500; 40]);
        given(&messages[..3]);
        let all = given(&messages);
        assert!(all.iter().all(|given| matches!(given, Given::Run(run) if run.len() <= RUN_BYTES_MAX + 100)), "{all:?}");
        assert_eq!(read(all), plain(&messages));
    }
}
