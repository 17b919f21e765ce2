//! A shared trait, understood: what the parts are generated from. Not how it was written.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Attribute, Expr, Ident, Path, Type, TypeParamBound, Visibility, ext::IdentExt, spanned::Spanned};

/// The trait.
pub(crate) struct Contract {
    /// Where the SDK is: `::bursar`, if nothing else was said.
    pub sdk: Path,
    /// Of the trait and of all that is generated.
    pub visibility: Visibility,
    pub name: Ident,
    /// What is said of the object.
    pub doc: String,
    /// All others, and the documentation, as they were written.
    pub attributes: Vec<Attribute>,
    /// What it asks of its implementations beyond `Send + Sync + 'static`.
    pub supertraits: Vec<TypeParamBound>,
    pub methods: Vec<Method>,
}

/// One method.
pub(crate) struct Method {
    pub name: Ident,
    pub doc: String,
    pub attributes: Vec<Attribute>,
    pub receiver: Receiver,
    pub parameters: Vec<Parameter>,
    pub outcome: Outcome,
    pub is_idempotent: bool,
}

/// What a method needs of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// `&self`: side by side with others.
    Reads,
    /// `&mut self`: alone.
    Changes,
}

/// One parameter.
pub(crate) struct Parameter {
    pub name: Ident,
    pub doc: String,
    /// As it was written.
    pub written: Type,
    pub need: Need,
}

/// What happens when a caller does not say an argument.
pub(crate) enum Need {
    /// The call is refused.
    Required,
    /// `Option` of this type: the method gets `None`.
    Optional(Type),
    /// The method gets the value of this expression.
    Default(Expr),
}

/// How a method ends.
pub(crate) struct Outcome {
    /// Its result, or each item.
    pub value: Type,
    /// Of a method that gives a `Result`.
    pub error: Option<Type>,
    /// `Result<..>`, or what there is instead of it.
    pub written: Type,
    pub stream: Option<Stream>,
}

/// A method that gives items.
pub(crate) struct Stream {
    /// What stands behind `impl`.
    pub bounds: TokenStream,
    /// It does not borrow the object.
    pub is_static: bool,
}

impl Contract {
    /// Whether some calls need the object for themselves.
    pub fn changes(&self) -> bool {
        self.methods.iter().any(|method| method.receiver == Receiver::Changes)
    }

    /// The type that stands for the trait where an object of it is served.
    pub fn marker(&self) -> Ident {
        format_ident!("{}Contract", self.name)
    }

    /// The way to the SDK as if it was written there: what the compiler has to say about its use, it says of that place.
    pub fn sdk_at(&self, span: Span) -> TokenStream {
        let moved = |mut token: TokenTree| {
            token.set_span(span);
            token
        };
        self.sdk.to_token_stream().into_iter().map(moved).collect()
    }

    pub fn client(&self) -> Ident {
        format_ident!("{}Client", self.name)
    }

    pub fn blocking(&self) -> Ident {
        format_ident!("{}Blocking", self.name)
    }
}

impl Method {
    /// By which it is called.
    pub fn called(&self) -> String {
        self.name.unraw().to_string()
    }

    /// `sku: String, n: u32`
    pub fn signature(&self) -> impl Iterator<Item = TokenStream> {
        self.parameters.iter().map(|Parameter { name, written, .. }| quote!(#name: #written))
    }

    pub fn arguments(&self) -> impl Iterator<Item = &Ident> {
        self.parameters.iter().map(|parameter| &parameter.name)
    }
}

impl Outcome {
    /// Where it is written: the error, if there is one.
    pub fn span(&self) -> Span {
        self.error.as_ref().unwrap_or(&self.written).span()
    }
}

impl Parameter {
    /// By which it is given.
    pub fn called(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The type of what travels.
    pub fn sent(&self) -> &Type {
        match &self.need {
            Need::Optional(inner) => inner,
            Need::Required | Need::Default(_) => &self.written,
        }
    }
}
