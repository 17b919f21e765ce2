//! The array's calls, as far as the SDK adds something to the broker's verbs.

use super::connected;
use bursar::{Array, Fault, List, Manager, Slice, array::Number, blocking::block_on};

async fn keeps<N: Number>(manager: &Manager, name: &str, numbers: [N; 3]) {
    let array: Array<N> = manager.array(name).length(3).create().await.unwrap();
    array.set_range(.., &numbers).await.unwrap();
    assert_eq!(array.to_vec().await.unwrap(), numbers);
    array.set(-1, numbers[0]).await.unwrap();
    assert_eq!((array.get(2).await.unwrap(), array.len()), (numbers[0], 3));
}

#[test]
fn every_type_keeps_its_extremes() {
    let (_broker, manager) = connected();
    block_on(async {
        keeps(&manager, "i8", [i8::MIN, 0, i8::MAX]).await;
        keeps(&manager, "u8", [u8::MIN, 1, u8::MAX]).await;
        keeps(&manager, "i16", [i16::MIN, 0, i16::MAX]).await;
        keeps(&manager, "u16", [u16::MIN, 1, u16::MAX]).await;
        keeps(&manager, "i32", [i32::MIN, 0, i32::MAX]).await;
        keeps(&manager, "u32", [u32::MIN, 1, u32::MAX]).await;
        keeps(&manager, "i64", [i64::MIN, 0, i64::MAX]).await;
        keeps(&manager, "u64", [u64::MIN, 1, u64::MAX]).await;
        keeps(&manager, "f32", [f32::MIN, 0.1, f32::MAX]).await;
        keeps(&manager, "f64", [f64::MIN, 0.1, f64::MAX]).await;
    });
}

#[test]
fn parts_sums_and_what_is_outside() {
    let (_broker, manager) = connected();
    block_on(async {
        let array: Array<i16> = manager.array("array").length(6).create().await.unwrap();
        array.set_range(Slice::from(..).step(2), &[1, 2, 3]).await.unwrap();
        assert_eq!(array.to_vec().await.unwrap(), [1, 0, 2, 0, 3, 0]);
        assert_eq!(array.get_range(-3..).await.unwrap(), [0, 3, 0]);
        assert_eq!((array.add(0, -2).await.unwrap(), array.add(-1, i16::MAX).await.unwrap()), (-1, i16::MAX));
        let error = array.add(5, 1).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::CounterOverflow { .. })), "{error}");
        for index in [6, -7, i64::MAX, i64::MIN] {
            let outside = Some(Fault::OutOfRange { index, len: 6 });
            assert_eq!(array.get(index).await.unwrap_err().fault(), outside.as_ref());
            assert_eq!(array.set(index, 1).await.unwrap_err().fault(), outside.as_ref());
            assert_eq!(array.add(index, 1).await.unwrap_err().fault(), outside.as_ref());
        }
        let error = array.set_range(.., &[1]).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn more_numbers_than_one_reply_carries() {
    let (_broker, manager) = connected();
    block_on(async {
        let array: Array<u8> = manager.array("large").length(2_500_000).create().await.unwrap();
        array.set(0, 1).await.unwrap();
        array.set(1_000_000, 2).await.unwrap();
        array.set(-1, 3).await.unwrap();
        let numbers = array.to_vec().await.unwrap();
        assert_eq!((numbers.len(), numbers[0], numbers[1_000_000], numbers[2_499_999]), (2_500_000, 1, 2, 3));
        assert_eq!(numbers.iter().map(|number| u32::from(*number)).sum::<u32>(), 6);
    });
}

#[test]
fn an_array_is_opened_as_what_it_is() {
    let (_broker, manager) = connected();
    block_on(async {
        let _: Array<f32> = manager.array("array").length(3).create().await.unwrap();
        let opened: Array<f32> = manager.array("array").open().await.unwrap();
        assert_eq!(opened.len(), 3);
        let other_type = manager.array::<f64>("array").open().await.map(drop);
        let other_length = manager.array::<f32>("array").length(4).open_or_create().await.map(drop);
        let list: Result<List<f32>, _> = manager.list("array").open().await;
        for outcome in [other_type, other_length, list.map(drop)] {
            assert!(matches!(outcome.as_ref().unwrap_err().fault(), Some(Fault::Mismatch { .. })), "{outcome:?}");
        }
        let error = manager.array::<u8>("empty").create().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}
