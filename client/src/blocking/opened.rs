//! What the handles of all kinds tell of themselves, and what all builders do in the end, for threads.

/// Name, epoch and session of a handle that has a field `inner`.
macro_rules! opened {
    ($object:ident) => {
        impl From<crate::$object> for $object {
            fn from(inner: crate::$object) -> $object {
                $object { inner }
            }
        }

        impl $object {
            /// The name.
            pub fn name(&self) -> &str {
                self.inner.name()
            }

            /// Tells this object from earlier and later ones of the same name.
            pub fn epoch(&self) -> u64 {
                self.inner.epoch()
            }

            /// Whether the opening of this handle created the object.
            pub fn was_created(&self) -> bool {
                self.inner.was_created()
            }

            /// The session through which it was opened.
            pub fn manager(&self) -> $crate::blocking::Manager {
                self.inner.manager().clone().into()
            }

            /// The async side of the same handle.
            pub fn as_async(&self) -> &crate::$object {
                &self.inner
            }
        }

        impl std::fmt::Debug for $object {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt(formatter)
            }
        }
    };
}

/// The verbs of a builder that has a field `inner`.
macro_rules! opening {
    ($builder:ident, $object:ident) => {
        impl From<Builder> for $builder {
            fn from(inner: Builder) -> $builder {
                $builder { inner }
            }
        }

        impl $builder {
            /// The object goes with the last session that opened it.
            pub fn ephemeral(self) -> $builder {
                self.inner.ephemeral().into()
            }

            /// See [`Builder::open_or_create`].
            pub fn open_or_create(self) -> $crate::Result<$object> {
                Ok($crate::blocking::block_on(self.inner.open_or_create())?.into())
            }

            /// See [`Builder::create`].
            pub fn create(self) -> $crate::Result<$object> {
                Ok($crate::blocking::block_on(self.inner.create())?.into())
            }

            /// See [`Builder::open`].
            pub fn open(self) -> $crate::Result<$object> {
                Ok($crate::blocking::block_on(self.inner.open())?.into())
            }
        }
    };
}

pub(super) use {opened, opening};
