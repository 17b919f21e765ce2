//! How types are shown in the description: by the way they are written. What a name stands for cannot be seen here; whether it is a handle
//! is known to the compiler only, and asked by the generated code.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, PathSegment, ReturnType, Type, TypePath};

/// A longer name does not fit into a description.
const NAME_BYTES_MAX: usize = 200;

/// What is shown of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A word of JSON Schema, or one beside them: it is sure.
    Word(&'static str),
    /// A type of somebody's own, by its name without the way to it; or a handle.
    Named(String),
}

impl Shown {
    pub fn of(written: &Type) -> Shown {
        match written {
            Type::Paren(inner) => Shown::of(&inner.elem),
            Type::Group(inner) => Shown::of(&inner.elem),
            Type::Tuple(tuple) if tuple.elems.is_empty() => Shown::Word("null"),
            Type::Tuple(_) | Type::Array(_) | Type::Slice(_) => Shown::Word("array"),
            Type::Path(path) => Shown::of_path(path),
            _ => Shown::named(written),
        }
    }

    fn of_path(path: &TypePath) -> Shown {
        let Some(last) = path.path.segments.last() else { return Shown::named(path) };
        let name = last.ident.to_string();
        match (name.as_str(), arguments(last).as_slice()) {
            // What stands around it is not seen in what travels.
            ("Option" | "Box" | "Arc" | "Rc" | "Cow" | "Json", [.., inner]) => Shown::of(inner),
            ("String" | "str" | "char" | "PathBuf", []) => Shown::Word("string"),
            ("u8" | "u16" | "u32" | "u64" | "u128" | "usize", []) => Shown::Word("integer"),
            ("i8" | "i16" | "i32" | "i64" | "i128" | "isize", []) => Shown::Word("integer"),
            ("f32" | "f64", []) => Shown::Word("number"),
            ("bool", []) => Shown::Word("boolean"),
            ("Raw" | "Bytes" | "ByteBuf", []) => Shown::Word("bytes"),
            // `Vec<u8>` is one too: serde writes a list of numbers.
            ("Vec" | "VecDeque" | "HashSet" | "BTreeSet", [_, ..]) => Shown::Word("array"),
            ("HashMap" | "BTreeMap", [_, _, ..]) => Shown::Word("object"),
            ("Value", []) if path.path.segments.first().is_some_and(|first| first.ident == "serde_json") => Shown::Word("any"),
            _ => Shown::named(path),
        }
    }

    fn named(written: impl ToTokens) -> Shown {
        let mut name = name(&written.to_token_stream());
        while name.len() > NAME_BYTES_MAX {
            name.pop();
        }
        Shown::Named(name)
    }

    /// The word or name.
    pub fn text(&self) -> &str {
        match self {
            Shown::Word(word) => word,
            Shown::Named(name) => name,
        }
    }
}

/// The types in the angle brackets.
pub(crate) fn arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(brackets) = &segment.arguments else { return Vec::new() };
    let types = brackets.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    });
    types.collect()
}

/// As people write it, without the modules in front: `Page<Item>`, of `crate :: shop :: Page < Item >`.
fn name(tokens: &proc_macro2::TokenStream) -> String {
    let mut name = String::new();
    for word in tokens.to_string().split_whitespace() {
        match word {
            "::" => {
                let way = name.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(0, |end| end + 1);
                name.truncate(way);
            }
            "," => name.push_str(", "),
            _ => name.push_str(word),
        }
    }
    name
}

/// `Result<T, E>`, if it is one, however many types it is given.
pub(crate) fn as_result(written: &Type) -> Option<Vec<&Type>> {
    let last = last_segment(written)?;
    (last.ident == "Result").then(|| arguments(last))
}

/// The type in `Option<T>`, if it is one.
pub(crate) fn as_option(written: &Type) -> Option<&Type> {
    let last = last_segment(written)?;
    (last.ident == "Option").then(|| arguments(last).first().copied()).flatten()
}

fn last_segment(written: &Type) -> Option<&PathSegment> {
    match written {
        Type::Path(path) => path.path.segments.last(),
        Type::Paren(inner) => last_segment(&inner.elem),
        Type::Group(inner) => last_segment(&inner.elem),
        _ => None,
    }
}

/// What a function gives; nothing is `()`.
pub(crate) fn given(output: &ReturnType) -> Type {
    match output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, written) => (**written).clone(),
    }
}

/// What is to be written instead of a borrowed type.
pub(crate) fn owned(borrowed: &Type) -> String {
    match borrowed {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Path(path) if path.path.is_ident("Path") => "PathBuf".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", name(&slice.elem.to_token_stream())),
        other => name(&other.to_token_stream()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(written: &str) -> Shown {
        Shown::of(&syn::parse_str(written).unwrap())
    }

    #[test]
    fn types_are_shown_as_what_travels() {
        let words = [
            ("String", "string"),
            ("std::path::PathBuf", "string"),
            ("u8", "integer"),
            ("i128", "integer"),
            ("f32", "number"),
            ("bool", "boolean"),
            ("bursar::Raw", "bytes"),
            ("Vec<u8>", "array"),
            ("(u8, String)", "array"),
            ("[f64; 3]", "array"),
            ("HashMap<String, u8>", "object"),
            ("serde_json::Value", "any"),
            ("Option<Box<String>>", "string"),
            ("()", "null"),
        ];
        for (written, word) in words {
            assert_eq!(shown(written), Shown::Word(word), "{written}");
        }
    }

    #[test]
    fn other_types_are_shown_by_their_names_without_the_way_to_them() {
        let names = [
            ("Receipt", "Receipt"),
            ("crate::shop::Receipt", "Receipt"),
            ("shop::Page<shop::Item, 3>", "Page<Item, 3>"),
            ("::bursar::Queue<Vec<shop::Item>>", "Queue<Vec<Item>>"),
            ("Value", "Value"),
        ];
        for (written, name) in names {
            assert_eq!(shown(written), Shown::Named(name.to_owned()), "{written}");
        }
        assert_eq!(shown(&format!("{}é", "x".repeat(199))).text().len(), 199);
    }
}
