//! The types of numbers that an array can have, and their forms on the wire.

use super::wire;
use sealed::Sealed;
use std::fmt;

/// What an [`Array`](crate::Array) can hold: `i8`, `u8`, `i16`, `u16`, `i32`, `u32`, `i64`, `u64`, `f32`, `f64`. Nothing else
/// implements it.
pub trait Number: Copy + PartialEq + PartialOrd + fmt::Debug + Send + Sync + 'static + Sealed {}

pub(super) mod sealed {
    use super::wire::{Numbers, Type, numbers};

    pub trait Sealed: Sized {
        const TYPE: Type;
        fn pack(numbers: &[Self]) -> Numbers;
        /// None: they are of another type.
        fn unpack(numbers: numbers::Numbers) -> Option<Vec<Self>>;
    }
}

macro_rules! numbers {
    ($($number:ident $name:ident $form:ident),* $(,)?) => { $(
        impl Number for $number {}

        impl Sealed for $number {
            const TYPE: wire::Type = wire::Type::$name;

            fn pack(numbers: &[$number]) -> wire::Numbers {
                let values = numbers.iter().map(|number| (*number).into()).collect();
                wire::Numbers { numbers: Some(wire::numbers::Numbers::$form(wire::$form { values })) }
            }

            fn unpack(numbers: wire::numbers::Numbers) -> Option<Vec<$number>> {
                let wire::numbers::Numbers::$form(wire::$form { values }) = numbers else { return None };
                numbers!(@narrow $form values $number)
            }
        }
    )* };
    // A double that came from a single is that single again.
    (@narrow Reals $values:ident $number:ident) => { Some($values.into_iter().map(|value| value as $number).collect()) };
    (@narrow $form:ident $values:ident $number:ident) => {
        $values.into_iter().map(|value| $number::try_from(value).ok()).collect()
    };
}

numbers!(i8 I8 Integers, u8 U8 Naturals, i16 I16 Integers, u16 U16 Naturals, i32 I32 Integers, u32 U32 Naturals,
    i64 I64 Integers, u64 U64 Naturals, f32 F32 Reals, f64 F64 Reals);

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<N: Number>(numbers: &[N]) {
        let packed = N::pack(numbers).numbers.unwrap();
        assert_eq!(N::unpack(packed).unwrap(), numbers);
    }

    #[test]
    fn numbers_survive_the_wire_and_others_are_refused() {
        survives(&[i8::MIN, 0, i8::MAX]);
        survives(&[i64::MIN, i64::MAX]);
        survives(&[u64::MIN, u64::MAX]);
        survives(&[f32::MIN, 0.1, f32::INFINITY]);
        survives(&[f64::MIN, 0.1, f64::NEG_INFINITY]);
        assert_eq!(i8::unpack(i16::pack(&[128]).numbers.unwrap()), None, "it does not fit");
        assert_eq!(i8::unpack(u8::pack(&[1]).numbers.unwrap()), None, "it is of another form");
    }
}
