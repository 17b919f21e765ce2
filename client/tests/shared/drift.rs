//! Who calls and who serves have another version of the trait, as they have while one of them is replaced.

use crate::{connect, connected};
use bursar::{Fault, blocking::block_on, object::CallError};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// As it was.
mod old {
    #[bursar::shared]
    pub trait Store {
        async fn get(&self, key: String) -> Option<i64>;
        async fn put(&self, key: String, value: i64);
    }
}

/// A method more, and an argument more for each of the others.
mod new {
    #[bursar::shared]
    pub trait Store {
        async fn get(&self, key: String, #[shared(default = 1)] times: i64) -> Option<i64>;
        async fn put(&self, key: String, value: i64, note: Option<String>);
        async fn remove(&self, key: String) -> Option<i64>;
    }
}

/// A method more, and the others as they were.
mod grown {
    #[bursar::shared]
    pub trait Store {
        async fn get(&self, key: String) -> Option<i64>;
        async fn put(&self, key: String, value: i64);
        async fn len(&self) -> u64;
    }
}

#[derive(Default)]
struct Values(Mutex<BTreeMap<String, i64>>);

impl old::Store for Values {
    async fn get(&self, key: String) -> Option<i64> {
        self.0.lock().unwrap().get(&key).copied()
    }

    async fn put(&self, key: String, value: i64) {
        self.0.lock().unwrap().insert(key, value);
    }
}

impl new::Store for Values {
    async fn get(&self, key: String, times: i64) -> Option<i64> {
        self.0.lock().unwrap().get(&key).map(|value| value * times)
    }

    async fn put(&self, key: String, value: i64, note: Option<String>) {
        let value = if note.is_some() { -value } else { value };
        self.0.lock().unwrap().insert(key, value);
    }

    async fn remove(&self, key: String) -> Option<i64> {
        self.0.lock().unwrap().remove(&key)
    }
}

impl grown::Store for Values {
    async fn get(&self, key: String) -> Option<i64> {
        old::Store::get(self, key).await
    }

    async fn put(&self, key: String, value: i64) {
        old::Store::put(self, key, value).await;
    }

    async fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
}

fn fault<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> Fault {
    outcome.unwrap_err().fault().unwrap().clone()
}

#[test]
fn an_old_client_meets_a_new_object() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve::<new::StoreContract>("store", Arc::new(Values::default())).start()).unwrap();
    let client = block_on(old::StoreClient::open(&manager, "store")).unwrap();
    block_on(client.put("a".into(), 7)).unwrap();
    assert_eq!(block_on(client.get("a".into())).unwrap(), Some(7));
}

#[test]
fn a_new_client_meets_an_old_object_and_is_told_what_it_does_not_know() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve::<old::StoreContract>("store", Arc::new(Values::default())).start()).unwrap();
    let client = block_on(new::StoreClient::open(&manager, "store")).unwrap();
    block_on(client.put("a".into(), 7, None)).unwrap();
    assert_eq!(
        fault(block_on(client.put("a".into(), 7, Some("seven".into())))),
        Fault::NoSuchArgument { method: "put".into(), argument: "note".into(), nearest: "key".into() }
    );
    assert_eq!(
        fault(block_on(client.get("a".into(), 2))),
        Fault::NoSuchArgument { method: "get".into(), argument: "times".into(), nearest: "key".into() }
    );
    assert_eq!(
        fault(block_on(client.remove("a".into()))),
        Fault::NoSuchMethod { method: "remove".into(), nearest: "get".into() }
    );
}

#[test]
fn a_provider_with_more_methods_serves_beside_an_old_one_and_takes_its_place() {
    let (broker, manager) = connected();
    let values = Arc::new(Values::default());
    let replaced = block_on(manager.serve::<old::StoreContract>("store", values.clone()).start()).unwrap();
    let other = connect(&broker);
    let _serving = block_on(other.serve::<grown::StoreContract>("store", values).start()).unwrap();
    let client = block_on(grown::StoreClient::open(&manager, "store")).unwrap();
    block_on(client.put("a".into(), 7)).unwrap();
    assert_eq!(block_on(client.len()).unwrap(), 1);
    block_on(replaced.stop()).unwrap();
    assert_eq!(block_on(client.get("a".into())).unwrap(), Some(7));
}

#[test]
fn a_provider_that_says_something_else_of_a_method_does_not_serve_beside_another() {
    let (_broker, manager) = connected();
    let values = Arc::new(Values::default());
    let _serving = block_on(manager.serve::<old::StoreContract>("store", values.clone()).start()).unwrap();
    let error = block_on(manager.serve::<new::StoreContract>("store", values).start()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Mismatch { .. })), "{error:?}");
}
