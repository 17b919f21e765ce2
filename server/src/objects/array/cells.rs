//! Numbers, each in the size of its type. One macro writes what is the same for all types; what is different is [`Cell`].

use super::Span;
use std::fmt;

/// Numbers as they come and go, in the widest form of their kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Of signed types.
    Integers(Vec<i64>),
    /// Of unsigned types.
    Naturals(Vec<u64>),
    /// Of floating point types.
    Reals(Vec<f64>),
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Numbers::Integers(values) => values.len(),
            Numbers::Naturals(values) => values.len(),
            Numbers::Reals(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which form it is, as the contract calls it.
    pub fn form(&self) -> &'static str {
        match self {
            Numbers::Integers(_) => "integers",
            Numbers::Naturals(_) => "naturals",
            Numbers::Reals(_) => "reals",
        }
    }

    fn text(&self, place: usize) -> String {
        match self {
            Numbers::Integers(values) => values[place].to_string(),
            Numbers::Naturals(values) => values[place].to_string(),
            Numbers::Reals(values) => values[place].to_string(),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = (0..self.len()).map(|place| self.text(place)).collect();
        formatter.write_str(&texts.join(", "))
    }
}

/// A type of number, and how it becomes its widest form and comes back.
trait Cell: Copy + Default {
    type Wide: Copy;
    fn wide(self) -> Self::Wide;
    /// `None`: the type cannot hold it.
    fn narrow(wide: Self::Wide) -> Option<Self>;
    /// `None`: the type cannot hold the sum.
    fn plus(self, by: Self::Wide) -> Option<Self>;
    /// Whether it is anything but the 0 of the beginning.
    fn is_news(self) -> bool;
}

macro_rules! whole {
    ($($cell:ty => $wide:ty),*) => { $( impl Cell for $cell {
        type Wide = $wide;
        fn wide(self) -> $wide { self.into() }
        fn narrow(wide: $wide) -> Option<$cell> { wide.try_into().ok() }
        fn plus(self, by: $wide) -> Option<$cell> { Self::narrow(self.wide().checked_add(by)?) }
        fn is_news(self) -> bool { self != 0 }
    } )* };
}

whole!(i8 => i64, i16 => i64, i32 => i64, i64 => i64, u8 => u64, u16 => u64, u32 => u64, u64 => u64);

macro_rules! floating {
    ($($cell:ty),*) => { $( impl Cell for $cell {
        type Wide = f64;
        fn wide(self) -> f64 { self.into() }
        /// Rounds to the nearest. Infinity and NaN are numbers like any other, but nothing finite becomes infinite.
        fn narrow(wide: f64) -> Option<$cell> {
            let cell = wide as $cell;
            (cell.is_infinite() <= wide.is_infinite()).then_some(cell)
        }
        fn plus(self, by: f64) -> Option<$cell> {
            let sum = self.wide() + by;
            let is_sound = sum.is_infinite() <= (self.is_infinite() || by.is_infinite());
            is_sound.then_some(sum).and_then(Self::narrow)
        }
        /// Also -0 is.
        fn is_news(self) -> bool { self.to_bits() != 0 }
    } )* };
}

floating!(f32, f64);

macro_rules! types {
    ($($name:ident $cell:ident $form:ident $text:literal),*) => {
        /// What every number of an array is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Type { $($name),* }

        impl Type {
            /// All of them.
            #[cfg(test)]
            pub const ALL: &[Type] = &[$(Type::$name),*];

            /// As it is called.
            pub fn name(self) -> &'static str {
                match self { $( Type::$name => $text, )* }
            }

            /// In which form its numbers travel.
            pub fn form(self) -> &'static str {
                match self { $( Type::$name => Numbers::$form(Vec::new()).form(), )* }
            }

            /// What it can hold, in words.
            pub fn range(self) -> String {
                match self { $( Type::$name => format!("numbers of {} ({} to {})", $text, $cell::MIN, $cell::MAX), )* }
            }
        }

        /// The numbers of an array.
        #[derive(Clone, Debug, PartialEq)]
        pub(super) enum Cells { $( $name(Vec<$cell>) ),* }

        impl Cells {
            /// So many zeros.
            pub(super) fn new(of: Type, length: usize) -> Cells {
                match of { $( Type::$name => Cells::$name(vec![$cell::default(); length]), )* }
            }

            pub(super) fn of(&self) -> Type {
                match self { $( Cells::$name(_) => Type::$name, )* }
            }

            pub(super) fn len(&self) -> usize {
                match self { $( Cells::$name(cells) => cells.len(), )* }
            }

            pub(super) fn bytes(&self) -> usize {
                match self { $( Cells::$name(cells) => size_of_val(&cells[..]), )* }
            }

            /// Whether anything but the zeros of the beginning stands there.
            pub(super) fn has_news(&self, span: Span) -> bool {
                match self { $( Cells::$name(cells) => span.positions().any(|position| cells[position].is_news()), )* }
            }

            pub(super) fn read(&self, span: Span) -> Numbers {
                match self {
                    $( Cells::$name(cells) => {
                        Numbers::$form(span.positions().map(|position| cells[position].wide()).collect())
                    } )*
                }
            }

            /// The first number that the type cannot hold, with its place. All are of its form.
            pub(super) fn misfit(&self, numbers: &Numbers) -> Option<(usize, String)> {
                let place = match (self, numbers) {
                    $( (Cells::$name(_), Numbers::$form(values)) => values.iter().position(|wide| $cell::narrow(*wide).is_none()), )*
                    _ => None,
                };
                place.map(|place| (place, numbers.text(place)))
            }

            /// One number and another of its form; `None`: the type cannot hold the sum.
            pub(super) fn sum(&self, position: usize, by: &Numbers) -> Option<Numbers> {
                match (self, by) {
                    $( (Cells::$name(cells), Numbers::$form(by)) => {
                        Some(Numbers::$form(vec![cells[position].plus(*by.first()?)?.wide()]))
                    } )*
                    _ => None,
                }
            }

            /// Numbers that fit.
            pub(super) fn store(&mut self, span: Span, numbers: &Numbers) {
                match (self, numbers) {
                    $( (Cells::$name(cells), Numbers::$form(values)) => {
                        for (position, wide) in span.positions().zip(values) {
                            cells[position] = $cell::narrow(*wide).expect("it was checked when this was decided");
                        }
                    } )*
                    _ => unreachable!("the form was checked when this was decided"),
                }
            }
        }
    };
}

types!(
    I8 i8 Integers "i8", U8 u8 Naturals "u8", I16 i16 Integers "i16", U16 u16 Naturals "u16", I32 i32 Integers "i32",
    U32 u32 Naturals "u32", I64 i64 Integers "i64", U64 u64 Naturals "u64", F32 f32 Reals "f32", F64 f64 Reals "f64"
);
