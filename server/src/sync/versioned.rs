//! Writes that name the version they replace.

/// How a versioned write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionedWrite<T> {
    /// Written; this is the version now.
    Written(i64),
    /// The stored version is another one: nothing was written.
    Mismatch {
        /// The stored version.
        version: i64,
        /// The stored value.
        value: T,
    },
}
