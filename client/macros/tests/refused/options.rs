//! Options that there are not.

#[bursar_macros::shared(krate = bursar)]
trait Shelf {
    #[shared(idempotant)]
    async fn get(&self, #[shared(defualt = 5)] n: u64) -> u64;
    #[shared(default = 5)]
    async fn set(&mut self, #[shared(default = 5)] n: Option<u64>);
}

#[bursar_macros::shared]
struct Board;

fn main() {}
