//! What services promise to who writes them, tried through the public interface with a clock that is played.

mod ending;
mod ordering;
mod probe;
mod random;
mod scopes;
mod tasks;
