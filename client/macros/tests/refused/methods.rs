//! Methods that cannot be called from elsewhere.

struct Gone;

#[bursar_macros::shared]
trait Shelf {
    fn count(&self) -> u64;
    async fn find(&self, sku: &str, tags: Option<&[u8]>) -> u64;
    async fn end(self);
    async fn any<T>(&self, value: T);
    async fn open(&self) -> Result<u64, Gone>;
    async fn get(&self) -> u64 {
        7
    }
    type Item;
}

fn main() {}
