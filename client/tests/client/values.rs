//! Single values and namespaces: thin things on a key-value store.

use super::{connect, connected};
use bursar::{Error, Kv, Namespace, Result, Value, blocking::block_on};
use futures_util::future::join_all;

#[test]
fn a_value_is_one_key_that_many_update() {
    let (broker, manager) = connected();
    block_on(async {
        let kv: Kv<u32> = manager.kv("kv").create().await.unwrap();
        let value: Value<u32> = kv.value("sum");
        assert_eq!((value.get().await.unwrap(), value.key(), value.kv().name()), (None, "sum", "kv"));
        let adding = (0..3).map(|_| async {
            let value: Value<u32> = connect(&broker).kv("kv").open().await?.value("sum");
            for _ in 0..20 {
                value.update(|sum| Some(sum.unwrap_or(0) + 1)).await?;
            }
            Result::Ok(())
        });
        join_all(adding).await.into_iter().collect::<Result<()>>().unwrap();
        assert_eq!(kv.get("sum").await.unwrap(), Some(60));
        value.set(7).await.unwrap();
        assert_eq!(value.get().await.unwrap(), Some(7));
        assert!(value.delete().await.unwrap() && !value.delete().await.unwrap());
    });
}

#[test]
fn a_namespace_has_a_type_for_each_name() {
    let (_broker, manager) = connected();
    block_on(async {
        let names: Namespace = manager.namespace("names").create().await.unwrap();
        names.set("number", &7_u32).await.unwrap();
        names.set("text", &"seven".to_owned()).await.unwrap();
        assert_eq!(names.get::<u32>("number").await.unwrap(), Some(7));
        assert!(matches!(names.get::<u32>("text").await, Err(Error::Codec { .. })));
        names.set("text", &8_u32).await.unwrap();
        assert_eq!(names.value::<u32>("text").update(|number| number.map(|number| number + 1)).await.unwrap(), Some(9));
        assert_eq!(names.get::<u32>("none").await.unwrap(), None);
        assert!(names.delete("number").await.unwrap() && !names.delete("number").await.unwrap());
        assert_eq!(names.names().await.unwrap(), ["text"]);
        let same: Namespace = manager.raw_kv("names").open().await.unwrap().into();
        assert_eq!(same.get::<u32>("text").await.unwrap(), Some(9));
    });
}
