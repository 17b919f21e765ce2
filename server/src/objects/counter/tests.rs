//! Each promise of the counter.

mod wire;

use super::super::trial::{A, B, Dice, Trial};
use super::*;

fn counter(initial: i64) -> Trial<Counter> {
    Trial::new(Counter::new(initial))
}

fn add(by: i64) -> Command {
    Command::Add { by }
}

fn overflow(value: i64, by: i64) -> Fault {
    Fault::CounterOverflow { value: value.to_string(), by: by.to_string() }
}

#[test]
fn it_adds_and_subtracts() {
    let mut trial = counter(5);
    assert_eq!(trial.ask(A, add(10)), Ok(Reply::Add { value: 15 }));
    assert_eq!(trial.ask(B, add(-20)), Ok(Reply::Add { value: -5 }));
    assert_eq!(trial.ask(B, add(0)), Ok(Reply::Add { value: -5 }));
    assert_eq!((trial.ask(A, Command::Get), trial.changes()), (Ok(Reply::Get { value: -5 }), 2));
}

#[test]
fn a_sum_outside_of_the_range_is_refused_and_changes_nothing() {
    let mut trial = counter(i64::MAX);
    assert_eq!(trial.refused(A, add(1)), overflow(i64::MAX, 1));
    assert_eq!(trial.refused(A, add(i64::MAX)), overflow(i64::MAX, i64::MAX));
    assert_eq!(trial.ask(A, add(i64::MIN)), Ok(Reply::Add { value: -1 }));
    assert_eq!(trial.refused(A, add(i64::MIN)), overflow(-1, i64::MIN));
    assert_eq!(trial.ask(A, add(-i64::MAX)), Ok(Reply::Add { value: i64::MIN }));
    assert_eq!(trial.refused(A, add(-1)), overflow(i64::MIN, -1));
}

#[test]
fn set_tells_what_was_there() {
    let mut trial = counter(1);
    assert_eq!(trial.ask(A, Command::Set { value: i64::MIN }), Ok(Reply::Set { previous: 1 }));
    assert_eq!(trial.ask(A, Command::Set { value: i64::MAX }), Ok(Reply::Set { previous: i64::MIN }));
    assert_eq!(trial.ask(A, Command::Set { value: i64::MAX }), Ok(Reply::Set { previous: i64::MAX }));
    assert_eq!(trial.changes(), 2, "the value that it has already is no change");
}

#[test]
fn compare_and_set_tells_what_is_there_now() {
    let mut trial = counter(1);
    let swap = |expected, value| Command::CompareAndSet { expected, value };
    assert_eq!(trial.ask(A, swap(2, 9)), Ok(Reply::CompareAndSet { swapped: false, value: 1 }));
    assert_eq!(trial.ask(A, swap(1, 9)), Ok(Reply::CompareAndSet { swapped: true, value: 9 }));
    assert_eq!(trial.ask(A, swap(1, 10)), Ok(Reply::CompareAndSet { swapped: false, value: 9 }));
    assert_eq!(trial.ask(A, swap(9, 9)), Ok(Reply::CompareAndSet { swapped: true, value: 9 }));
    assert_eq!(trial.changes(), 1);
}

#[test]
fn what_a_session_added_stays_when_it_dies_and_when_it_was_not_told() {
    let mut trial = counter(0);
    let number = trial.call(A, add(3), bursar_proto::Wait::Forever);
    trial.unheard(number);
    trial.die(A);
    assert_eq!(trial.ask(B, Command::Get), Ok(Reply::Get { value: 3 }));
}

#[test]
fn steps_see_those_before_them() {
    let counter = Counter::new(1);
    let swap = Command::CompareAndSet { expected: 3, value: 7 };
    let steps = [add(2), swap.clone(), swap, Command::Set { value: 0 }, Command::Get];
    let (changes, replies) = counter.decide_all(A, &steps, Moment(1)).unwrap();
    assert_eq!(changes.iter().map(|change| change.value).collect::<Vec<_>>(), [3, 7, 0]);
    let expected = [
        Reply::Add { value: 3 },
        Reply::CompareAndSet { swapped: true, value: 7 },
        Reply::CompareAndSet { swapped: false, value: 7 },
        Reply::Set { previous: 7 },
        Reply::Get { value: 0 },
    ];
    assert_eq!(replies, expected);
    assert!(steps.iter().all(Counter::joins));
    assert_eq!(counter, Counter::new(1), "deciding does not touch");
}

#[test]
fn one_step_that_overflows_refuses_all() {
    let counter = Counter::new(i64::MAX - 1);
    assert_eq!(counter.decide_all(A, &[add(1), add(1), add(-5)], Moment(1)), Err(overflow(i64::MAX, 1)));
    assert_eq!(counter.decide_all(A, &[], Moment(1)), Ok((Vec::new(), Vec::new())));
}

#[test]
fn figures_show_on_which_side_of_zero_it_is() {
    assert_eq!(Counter::new(7).figures(), [("above_zero", 7), ("below_zero", 0)]);
    assert_eq!(Counter::new(i64::MIN).figures(), [("above_zero", 0), ("below_zero", 1 << 63)]);
}

#[test]
fn sums_are_those_of_larger_numbers_as_long_as_they_fit() {
    for seed in 1..=50 {
        let (mut trial, mut dice, mut model) = (counter(0), Dice::new(seed), 0_i128);
        for _ in 0..200 {
            let by = (dice.below(1 << 53) as i64).wrapping_mul(1023) * if dice.below(2) == 0 { 1 } else { -1 };
            let sum = model + i128::from(by);
            match trial.ask(A, add(by)) {
                Ok(reply) => {
                    model = sum;
                    assert_eq!(reply, Reply::Add { value: i64::try_from(sum).expect("it fits") }, "seed {seed}");
                }
                Err(fault) => {
                    assert_eq!(fault, overflow(model as i64, by), "seed {seed}");
                    assert!(i64::try_from(sum).is_err(), "seed {seed}");
                }
            }
        }
    }
}
