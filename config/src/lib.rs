//! The settings of Dormouse: typed, documented, and loaded from layers.
//!
//! The binaries call [`Loader`] once at their start and pass parts of [`Settings`] on; nothing
//! else reads flags, environment or configuration files. The crate opens no file but the one it
//! is told to, starts nothing, and never prints a secret.
//!
//! ```text
//! settings.rs ──▶ default.toml, docs/configuration.md     (generated, checked by a test)
//!      │
//! defaults, file, environment, flags ──▶ layers ──▶ reader ──▶ rules ──▶ Loaded, or all faults
//! ```

mod address;
mod conditions;
mod document;
mod faults;
mod keys;
mod layers;
mod loader;
mod organisation;
mod reader;
mod reference;
mod rules;
mod schema;
mod secret;
mod settings;
#[cfg(test)]
mod testing;
mod value;

pub use address::{CorsOrigin, ListenAddress, ListenAddressError};
pub use bytesize::ByteSize;
pub use faults::{ConfigError, Fault, Source};
pub use ipnet::IpNet;
pub use loader::{Loaded, Loader};
pub use organisation::{Membership, Organisation};
pub use reference::{KeyDoc, default_toml, generate_default_toml, reference, reference_markdown};
pub use secret::{HIDDEN, Secret};
pub use settings::{
    AdminSettings, Algorithm, AppSettings, AuthSettings, DashboardAccess, DashboardSettings,
    DebugSettings, Environment, HttpSettings, IssuerSettings, LimitSettings, LogFormat,
    LogSettings, MetricsAccess, MetricsSettings, Settings, ShardSettings, Signup, TierSettings,
};
