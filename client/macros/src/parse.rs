//! From the trait as it was written to the model of it. What cannot be shared is said here, where it stands, and as much of it at once as
//! can be seen; what concerns several methods is for [`check`](crate::check).

use crate::{
    attributes::{ArgumentOptions, MethodOptions, TraitOptions, documentation, refuse_conditions, take_documentation},
    complaints::Complaints,
    model::{Contract, Method, Need, Outcome, Parameter, Receiver, Stream},
    types,
};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    FnArg, GenericArgument, Generics, ItemTrait, Lifetime, Pat, PatType, PathArguments, Signature, TraitItem, TraitItemFn, Type,
    TypeImplTrait, TypeParamBound, TypeReference,
    visit::{self, Visit},
};

impl Contract {
    /// What the attribute is given, and what it stands on.
    pub fn parse(options: TokenStream, item: ItemTrait) -> syn::Result<Contract> {
        let mut complaints = Complaints::default();
        let options = TraitOptions::parse(options, &mut complaints);
        refuse_conditions(&item.attrs, &mut complaints);
        refuse_kinds_of_trait(&item, &mut complaints);
        let methods = item.items.into_iter().filter_map(|item| Method::of_item(item, &mut complaints)).collect();
        let contract = Contract {
            sdk: options.sdk,
            visibility: item.vis,
            name: item.ident,
            doc: documentation(&item.attrs),
            attributes: item.attrs,
            supertraits: item.supertraits.into_iter().collect(),
            methods,
        };
        contract.check(&mut complaints);
        complaints.or(contract)
    }
}

fn refuse_kinds_of_trait(item: &ItemTrait, complaints: &mut Complaints) {
    if let Some(part) = &item.unsafety {
        complaints.say(part, "a shared trait is not unsafe");
    }
    if let Some(part) = &item.auto_token {
        complaints.say(part, "a shared trait is not auto");
    }
    refuse_generics(&item.generics, "a shared trait has no generics: its types have to be known where it is written", complaints);
}

fn refuse_generics(generics: &Generics, message: &str, complaints: &mut Complaints) {
    if !generics.params.is_empty() {
        complaints.say(&generics.params, message);
    } else if let Some(clause) = &generics.where_clause {
        complaints.say(clause, message);
    }
}

impl Method {
    /// None: it is no method, or one that cannot be shared.
    fn of_item(item: TraitItem, complaints: &mut Complaints) -> Option<Method> {
        let message = match &item {
            TraitItem::Fn(_) => "",
            TraitItem::Type(_) => "a shared trait has no associated types: write out the type where it is used",
            TraitItem::Const(_) => "a shared trait has no constants: give the value from a method",
            _ => "a shared trait has methods only, and they are written out",
        };
        match item {
            TraitItem::Fn(item) => Method::parse(item, complaints),
            other => {
                complaints.say(other, message);
                None
            }
        }
    }

    fn parse(item: TraitItemFn, complaints: &mut Complaints) -> Option<Method> {
        let TraitItemFn { attrs: mut attributes, sig: signature, default, .. } = item;
        let options = MethodOptions::take(&mut attributes, complaints);
        refuse_conditions(&attributes, complaints);
        if let Some(body) = default {
            complaints
                .say(body, "a method of a shared trait has no body: what it does is the object's, and the client asks for it");
        }
        refuse_kinds_of_function(&signature, complaints);
        let receiver = Receiver::parse(&signature, complaints);
        let parameters = parameters(&signature, complaints);
        let outcome = Outcome::parse(&signature, complaints);
        Some(Method {
            name: signature.ident,
            doc: documentation(&attributes),
            attributes,
            receiver: receiver?,
            parameters,
            outcome: outcome?,
            is_idempotent: options.is_idempotent,
        })
    }
}

fn refuse_kinds_of_function(signature: &Signature, complaints: &mut Complaints) {
    let Signature { constness, unsafety, abi, generics, variadic, .. } = signature;
    let message = "a shared method is neither const nor unsafe nor extern";
    let parts = [constness.to_token_stream(), unsafety.to_token_stream(), abi.to_token_stream(), variadic.to_token_stream()];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        complaints.say(part, message);
    }
    refuse_generics(generics, "a shared method has no generics: what travels has one type", complaints);
}

impl Receiver {
    fn parse(signature: &Signature, complaints: &mut Complaints) -> Option<Receiver> {
        let Some(receiver) = signature.receiver() else {
            let message = "a shared method is called on an object: take `&self`, or `&mut self` if it changes it";
            complaints.say(&signature.ident, message);
            return None;
        };
        if receiver.colon_token.is_some() || receiver.reference.is_none() {
            let message = "the object stays where it is: take `&self`, or `&mut self` for calls one at a time";
            complaints.say(receiver, message);
            return None;
        }
        Some(if receiver.mutability.is_some() { Receiver::Changes } else { Receiver::Reads })
    }
}

fn parameters(signature: &Signature, complaints: &mut Complaints) -> Vec<Parameter> {
    let arguments = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Parameter::parse(argument.clone(), complaints),
        FnArg::Receiver(_) => None,
    });
    arguments.collect()
}

impl Parameter {
    fn parse(argument: PatType, complaints: &mut Complaints) -> Option<Parameter> {
        let PatType { attrs: mut attributes, pat: pattern, ty: written, .. } = argument;
        let ArgumentOptions { default } = ArgumentOptions::take(&mut attributes, complaints);
        let doc = take_documentation(attributes, complaints);
        Travelling { what: "arguments travel, and cannot be borrowed: take", complaints }.visit_type(&written);
        let need = match (types::as_option(&written).cloned(), default) {
            (Some(_), Some(default)) => {
                complaints.say(default, "an `Option` has no default: the method gets `None` where a caller says nothing");
                return None;
            }
            (Some(inner), None) => Need::Optional(inner),
            (None, Some(default)) => Need::Default(default),
            (None, None) => Need::Required,
        };
        match *pattern {
            Pat::Ident(name) if name.by_ref.is_none() && name.mutability.is_none() && name.subpat.is_none() => {
                Some(Parameter { name: name.ident, doc, written: *written, need })
            }
            other => {
                complaints.say(other, "arguments travel by name: write `name: Type`, and take it apart in the implementation");
                None
            }
        }
    }
}

impl Outcome {
    fn parse(signature: &Signature, complaints: &mut Complaints) -> Option<Outcome> {
        let written = types::given(&signature.output);
        let is_async = signature.asyncness.is_some();
        match &written {
            Type::ImplTrait(given) if is_async => {
                complaints
                    .say(given, "a method gives a value, or without `async` a stream: `fn name(..) -> impl Stream<Item = T>`");
                None
            }
            Type::ImplTrait(given) => Outcome::of_stream(given, complaints),
            _ if !is_async => {
                let name = &signature.ident;
                let message = format!(
                    "a call takes its time: write `async fn {name}`; or for a stream `fn {name}(..) -> impl Stream<Item = T>`"
                );
                complaints.say(signature.fn_token, message);
                None
            }
            _ => Outcome::of_value(written, None, complaints),
        }
    }

    fn of_stream(given: &TypeImplTrait, complaints: &mut Complaints) -> Option<Outcome> {
        let Some(items) = given.bounds.iter().find_map(items) else {
            complaints
                .say(given, "this is neither a value nor a stream: write `async fn`, or `fn name(..) -> impl Stream<Item = T>`");
            return None;
        };
        let is_static =
            |bound: &TypeParamBound| matches!(bound, TypeParamBound::Lifetime(lifetime) if lifetime.ident == "static");
        let stream = Stream { bounds: given.bounds.to_token_stream(), is_static: given.bounds.iter().any(is_static) };
        Outcome::of_value(items, Some(stream), complaints)
    }

    fn of_value(written: Type, stream: Option<Stream>, complaints: &mut Complaints) -> Option<Outcome> {
        Travelling { what: "results travel, and cannot be borrowed: give", complaints }.visit_type(&written);
        let (value, error) = match types::as_result(&written).as_deref() {
            None => (written.clone(), None),
            Some([value, error]) => ((*value).clone(), Some((*error).clone())),
            Some(_) => {
                complaints.say(&written, "the error's type has to be seen here: write `Result<T, E>` with both");
                return None;
            }
        };
        Some(Outcome { value, error, written, stream })
    }
}

/// The `T` of `Stream<Item = T>`.
fn items(bound: &TypeParamBound) -> Option<Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let last = bound.path.segments.last().filter(|last| last.ident == "Stream")?;
    let PathArguments::AngleBracketed(brackets) = &last.arguments else { return None };
    brackets.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(item) if item.ident == "Item" => Some(item.ty.clone()),
        _ => None,
    })
}

/// Looks into a type for what cannot travel.
struct Travelling<'c> {
    /// What is said of references.
    what: &'static str,
    complaints: &'c mut Complaints,
}

impl<'ast> Visit<'ast> for Travelling<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.complaints.say(reference, format!("{} `{}`", self.what, types::owned(&reference.elem)));
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.complaints.say(lifetime, "what travels owns what is in it: write a type without lifetimes");
        }
    }

    fn visit_type_impl_trait(&mut self, given: &'ast TypeImplTrait) {
        self.complaints.say(given, "what travels has one type, which is written out here");
    }

    fn visit_type_trait_object(&mut self, object: &'ast syn::TypeTraitObject) {
        self.complaints.say(object, "what travels has one type, which is written out here");
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.first().is_some_and(|first| first.ident == "Self") {
            self.complaints
                .say(path, "`Self` is one type where the object is, and another where it is called: write the type out");
        }
        visit::visit_path(self, path);
    }
}

/// The trait as it was written, without what only this attribute knows: what follows from its absence would hide what is wrong.
pub(crate) fn without_options(mut item: ItemTrait) -> TokenStream {
    let mut ignored = Complaints::default();
    for method in item.items.iter_mut() {
        let TraitItem::Fn(method) = method else { continue };
        MethodOptions::take(&mut method.attrs, &mut ignored);
        for argument in &mut method.sig.inputs {
            if let FnArg::Typed(argument) = argument {
                argument.attrs.clear();
            }
        }
    }
    quote!(#[allow(async_fn_in_trait)] #item)
}
