//! What the handles of all kinds tell of themselves, and what all builders do in the end.

/// Name, epoch and session of a handle that has a field `handle`.
macro_rules! opened {
    ($object:ident) => {
        impl $object {
            /// The name.
            pub fn name(&self) -> &str {
                self.handle.name()
            }

            /// Tells this object from earlier and later ones of the same name.
            pub fn epoch(&self) -> u64 {
                self.handle.epoch()
            }

            /// Whether the opening of this handle created the object.
            pub fn was_created(&self) -> bool {
                self.handle.created()
            }

            /// The session through which it was opened.
            pub fn manager(&self) -> &$crate::Manager {
                self.handle.manager()
            }
        }

        impl std::fmt::Debug for $object {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.debug_struct(stringify!($object)).field("name", &self.name()).field("epoch", &self.epoch()).finish()
            }
        }
    };
}

/// The verbs of a `Builder` that has the fields `wanted` and `options`; `$object` has a `new` that takes a handle.
macro_rules! opening {
    ($object:ident, $kind:ident, $options:expr) => {
        impl Builder {
            pub(crate) fn new(manager: $crate::Manager, name: &str) -> Builder {
                Builder { wanted: $crate::objects::Wanted::new(manager, name), options: $options }
            }

            /// The object goes with the last session that opened it.
            pub fn ephemeral(mut self) -> Builder {
                self.wanted.ephemeral = true;
                self
            }

            /// Opens the object, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of
            /// another kind or has other options.
            pub async fn open_or_create(self) -> $crate::Result<$object> {
                self.ask(bursar_proto::v1::registry::Mode::OpenOrCreate).await
            }

            /// Creates the object. Faults: `AlreadyExists`; `BadArgument`, when an option is missing or out of its range.
            pub async fn create(self) -> $crate::Result<$object> {
                self.ask(bursar_proto::v1::registry::Mode::Create).await
            }

            /// Opens the object as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is of another kind.
            pub async fn open(self) -> $crate::Result<$object> {
                self.ask(bursar_proto::v1::registry::Mode::Open).await
            }

            async fn ask(self, mode: bursar_proto::v1::registry::Mode) -> $crate::Result<$object> {
                let options = bursar_proto::v1::registry::options::Kind::$kind(self.options);
                Ok($object::new(self.wanted.open(mode, options).await?))
            }
        }
    };
}

pub(super) use {opened, opening};
