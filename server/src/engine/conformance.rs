//! What every engine must do, as one suite of assertions: run it from the engine's own tests.

use super::{AppendError, Log, ReadError};
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::Arc;

/// Panics at the first promise that the engine breaks. `fresh` gives an empty log of its own each time.
pub async fn suite<L: Log>(fresh: impl Fn() -> Arc<L>) {
    an_empty_log(fresh()).await;
    records_come_back_in_order(fresh()).await;
    appends_in_flight_keep_their_order(fresh()).await;
    a_wrong_expectation_conflicts_and_stores_nothing(fresh()).await;
    of_two_owners_one_conflicts(fresh()).await;
    appending_again_is_idempotent(fresh()).await;
    the_tail_survives_truncation(fresh()).await;
    a_gap_is_an_error(fresh()).await;
    a_record_above_the_limit_is_refused(fresh()).await;
}

fn record(number: u64) -> Bytes {
    Bytes::from(format!("record {number}"))
}

async fn fill(log: &impl Log, count: u64) {
    for number in 0..count {
        assert_eq!(log.append(number, record(number + 1)).await, Ok(number + 1));
    }
}

async fn an_empty_log(log: Arc<impl Log>) {
    assert_eq!(log.tail().await, Ok(0));
    assert_eq!(log.first().await, Ok(1));
    assert_eq!(log.read(0, 10).await, Ok(vec![]));
    assert_eq!(log.truncate(0).await, Ok(()));
}

async fn records_come_back_in_order(log: Arc<impl Log>) {
    fill(&*log, 5).await;
    let expected: Vec<_> = (1..=5).map(|number| (number, record(number))).collect();
    assert_eq!(log.read(0, 100).await, Ok(expected.clone()));
    assert_eq!(log.read(2, 2).await, Ok(expected[2..4].to_vec()));
    assert_eq!(log.read(5, 1).await, Ok(vec![]));
    assert_eq!(log.tail().await, Ok(5));
}

async fn appends_in_flight_keep_their_order(log: Arc<impl Log>) {
    let count = log.limits().in_flight_max as u64;
    let acknowledgements = (0..count).map(|number| log.append(number, record(number + 1)));
    let acknowledgements = join_all(acknowledgements.collect::<Vec<_>>()).await;
    assert_eq!(acknowledgements, (1..=count).map(Ok).collect::<Vec<_>>());
    assert_eq!(log.read(count - 1, 2).await, Ok(vec![(count, record(count))]));
}

async fn a_wrong_expectation_conflicts_and_stores_nothing(log: Arc<impl Log>) {
    fill(&*log, 2).await;
    for expect in [0, 1, 3, u64::MAX] {
        let refused = log.append(expect, Bytes::from_static(b"other")).await;
        assert_eq!(refused, Err(AppendError::Conflict { expect }));
    }
    assert_eq!(log.tail().await, Ok(2));
    assert_eq!(log.append(2, record(3)).await, Ok(3));
}

async fn of_two_owners_one_conflicts(log: Arc<impl Log>) {
    fill(&*log, 1).await;
    let both = [log.append(1, Bytes::from_static(b"a")), log.append(1, Bytes::from_static(b"b"))];
    let both = join_all(both).await;
    assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1, "{both:?}");
    assert_eq!(both.iter().filter(|result| matches!(result, Err(AppendError::Conflict { .. }))).count(), 1, "{both:?}");
    assert_eq!(log.tail().await, Ok(2));
}

async fn appending_again_is_idempotent(log: Arc<impl Log>) {
    fill(&*log, 2).await;
    assert_eq!(log.append(1, record(2)).await, Ok(2), "its acknowledgement may have been lost");
    assert_eq!(log.tail().await, Ok(2));
}

async fn the_tail_survives_truncation(log: Arc<impl Log>) {
    fill(&*log, 4).await;
    assert_eq!(log.truncate(2).await, Ok(()));
    assert_eq!((log.first().await, log.tail().await), (Ok(3), Ok(4)));
    assert_eq!(log.truncate(2).await, Ok(()), "truncating again changes nothing");
    assert_eq!(log.read(2, 10).await.map(|records| records.len()), Ok(2));
    assert_eq!(log.truncate(4).await, Ok(()));
    assert_eq!((log.first().await, log.tail().await), (Ok(5), Ok(4)));
    let conflict = log.append(0, record(1)).await;
    assert_eq!(conflict, Err(AppendError::Conflict { expect: 0 }), "the fence outlives what was forgotten");
    assert_eq!(log.append(4, record(5)).await, Ok(5));
}

async fn a_gap_is_an_error(log: Arc<impl Log>) {
    fill(&*log, 4).await;
    assert_eq!(log.truncate(3).await, Ok(()));
    assert_eq!(log.read(1, 10).await, Err(ReadError::Gap { after: 1, first: 4 }));
    assert_eq!(log.read(3, 10).await, Ok(vec![(4, record(4))]));
}

async fn a_record_above_the_limit_is_refused(log: Arc<impl Log>) {
    let limit = log.limits().record_bytes_max;
    let refused = log.append(0, vec![0; limit + 1].into()).await;
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: limit + 1, limit }));
    assert_eq!(log.append(0, vec![0; limit].into()).await, Ok(1));
}
