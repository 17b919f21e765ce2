//! The list's calls, as far as the SDK adds something to the broker's verbs.

use super::{connect, connected};
use bursar::{Fault, Json, List, Raw, Result, Slice, blocking, blocking::block_on};
use futures_util::future::join_all;

#[test]
fn the_verbs_of_a_list() {
    let (_broker, manager) = connected();
    block_on(async {
        let list: List<String> = manager.list("list").create().await.unwrap();
        assert!(list.is_empty().await.unwrap());
        assert_eq!(list.extend(Vec::<String>::new()).await.unwrap(), 0);
        assert_eq!(list.extend(["b", "c", "b"].map(String::from)).await.unwrap(), 3);
        assert_eq!(list.append("d".to_owned()).await.unwrap(), 4);
        assert_eq!(list.insert(-100, "a".to_owned()).await.unwrap(), 5);
        list.set(-1, "e".to_owned()).await.unwrap();
        assert_eq!((list.get(0).await.unwrap(), list.get(-1).await.unwrap()), ("a".to_owned(), "e".to_owned()));
        assert_eq!(list.index_of("b".to_owned()).await.unwrap(), Some(1));
        assert_eq!(list.index_within("b".to_owned(), 2..).await.unwrap(), Some(3));
        assert_eq!(list.index_of("x".to_owned()).await.unwrap(), None);
        assert!(list.contains("c".to_owned()).await.unwrap() && !list.contains("x".to_owned()).await.unwrap());
        assert_eq!((list.count("b".to_owned()).await.unwrap(), list.count("x".to_owned()).await.unwrap()), (2, 0));
        assert_eq!(list.remove("b".to_owned()).await.unwrap(), 1);
        list.reverse().await.unwrap();
        assert_eq!(list.to_vec().await.unwrap(), ["e", "b", "c", "a"]);
        assert_eq!((list.pop_at(1).await.unwrap(), list.pop().await.unwrap()), ("b".to_owned(), "a".to_owned()));
        assert_eq!(list.clear().await.unwrap(), 2);
        assert_eq!(list.to_vec().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn what_is_not_there_is_said_as_python_says_it() {
    let (_broker, manager) = connected();
    block_on(async {
        let list: List<u32> = manager.list("list").create().await.unwrap();
        for error in
            [list.get(0).await.map(drop), list.pop().await.map(drop), list.pop_at(3).await.map(drop), list.set(-1, 1).await]
        {
            assert!(matches!(error.as_ref().unwrap_err().fault(), Some(Fault::OutOfRange { len: 0, .. })), "{error:?}");
        }
        assert_eq!(list.remove(7).await.unwrap_err().fault(), Some(&Fault::NoSuchValue {}));
        let error = list.get_range(Slice::from(..).step(0)).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn parts_of_a_list() {
    let (_broker, manager) = connected();
    block_on(async {
        let list: List<i32> = manager.list("list").create().await.unwrap();
        list.extend(0..10).await.unwrap();
        assert_eq!(list.get_range(2..4).await.unwrap(), [2, 3]);
        assert_eq!(list.get_range(2..=4).await.unwrap(), [2, 3, 4]);
        assert_eq!(list.get_range(-2..).await.unwrap(), [8, 9]);
        assert_eq!(list.get_range(-3..=-1).await.unwrap(), [7, 8, 9]);
        assert_eq!(list.get_range(..=-9).await.unwrap(), [0, 1]);
        assert_eq!(list.get_range(100..).await.unwrap(), Vec::<i32>::new());
        assert_eq!(list.get_range(Slice::from(..).step(-4)).await.unwrap(), [9, 5, 1]);
        assert_eq!(list.delete_range(Slice::from(1..).step(2)).await.unwrap(), 5);
        assert_eq!(list.set_range(1..3, [7]).await.unwrap(), 4);
        assert_eq!(list.to_vec().await.unwrap(), [0, 7, 6, 8]);
        assert_eq!(list.set_range(.., Vec::<i32>::new()).await.unwrap(), 0);
    });
}

#[test]
fn a_list_of_many_pages_is_read_whole_and_gone_through() {
    let (_broker, manager) = connected();
    block_on(async {
        let list: List<u32> = manager.list("large").create().await.unwrap();
        assert_eq!(list.extend(0..25_000).await.unwrap(), 25_000);
        assert!(list.to_vec().await.unwrap().into_iter().eq(0..25_000));
        assert!(list.get_range(Slice::from(..).step(-1)).await.unwrap().into_iter().eq((0..25_000).rev()));
        let (mut items, mut seen) = (list.iter(), Vec::new());
        while let Some(item) = items.next().await.unwrap() {
            seen.push(item);
        }
        assert!(seen.into_iter().eq(0..25_000));
        assert_eq!(items.next().await.unwrap(), None, "the end stays the end");
    });
}

/// One value is of 1 MiB, so that each is a page of its own, and a reader meets changes between its pages.
#[test]
fn what_is_read_in_pages_is_of_one_moment() {
    let (broker, manager) = connected();
    block_on(async {
        let list: List<Raw> = manager.raw_list("changing").create().await.unwrap();
        let all = |number: u8| vec![Raw::from(vec![number; 1 << 20]); 3];
        list.extend(all(0)).await.unwrap();
        let writer: List<Raw> = connect(&broker).raw_list("changing").open().await.unwrap();
        let writing = async {
            for number in 1..=5 {
                writer.set_range(.., all(number)).await.unwrap();
            }
        };
        let reading = async {
            for _ in 0..5 {
                let values = list.to_vec().await.unwrap();
                assert_eq!(values.len(), 3);
                assert!(values.iter().all(|value| value == &values[0]), "values of different moments");
            }
        };
        futures_util::future::join(writing, reading).await;
    });
}

#[test]
fn sorting_loses_nothing_that_others_add_and_keeps_the_bytes() {
    let (broker, manager) = connected();
    block_on(async {
        let list: List<u32> = manager.list("numbers").create().await.unwrap();
        list.extend((0..100).rev()).await.unwrap();
        let adding = (0..4).map(|number| {
            let manager = connect(&broker);
            async move {
                let list: List<u32> = manager.list("numbers").open().await?;
                for step in 0..25 {
                    list.append(100 + 4 * step + number).await?;
                    list.sort().await?;
                }
                Result::Ok(())
            }
        });
        join_all(adding).await.into_iter().collect::<Result<()>>().unwrap();
        assert_eq!(list.to_vec().await.unwrap(), (0..200).collect::<Vec<_>>());

        let json: List<Json<u32>> = manager.list("json").create().await.unwrap();
        json.extend([2, 1].map(Json)).await.unwrap();
        let typed: List<u32> = manager.list("json").open().await.unwrap();
        typed.sort().await.unwrap();
        let raw: List<Raw> = manager.raw_list("json").open().await.unwrap();
        assert_eq!(raw.get(0).await.unwrap(), Raw { data: "1".into(), codec: Raw::JSON });
    });
}

#[test]
fn lists_too_large_for_one_step_are_not_sorted() {
    let (_broker, manager) = connected();
    block_on(async {
        let list: List<u32> = manager.list("large").create().await.unwrap();
        list.extend((0..10_001).rev()).await.unwrap();
        let error = list.sort().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        let large: List<Raw> = manager.raw_list("bytes").create().await.unwrap();
        let error = large.set_range(.., vec![Raw::from(vec![0; 70 << 20]); 2]).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TooLarge { .. })), "{error}");
        assert_eq!(large.extend(vec![Raw::from(vec![0; 70 << 20]); 2]).await.unwrap(), 2, "in two steps, and the session lives");
    });
}

#[test]
fn blocking_iteration_goes_on_behind_a_stranger() {
    let (_broker, manager) = connected();
    let manager = blocking::Manager::from(manager);
    let written: blocking::List<Raw> = manager.raw_list("mixed").create().unwrap();
    written.extend(["1", "\"two\"", "3"].map(|text| Raw { data: text.into(), codec: Raw::JSON })).unwrap();
    let read: blocking::List<u32> = manager.list("mixed").open().unwrap();
    let seen: Vec<Option<u32>> = read.iter().map(Result::ok).collect();
    assert_eq!(seen, [Some(1), None, Some(3)]);
}
