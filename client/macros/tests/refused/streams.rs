//! Streams that keep the object.

trait Stream {
    type Item;
}

#[bursar_macros::shared]
trait Shelf {
    async fn put(&mut self, sku: String);
    fn watch(&self) -> impl Stream<Item = u64>;
    async fn levels(&self) -> impl Stream<Item = u64>;
}

fn main() {}
