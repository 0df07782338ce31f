//! Short ways to load a configuration in tests, and to say what must be refused.

use crate::faults::ConfigError;
use crate::loader::{Loaded, Loader};

/// A secret that is long enough.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Loads a file's text, named `test.toml`.
pub(crate) fn from_file(text: &str) -> Result<Loaded, ConfigError> {
    from_all(Some(text.as_bytes()), &[], &[])
}

/// Loads variables, given without their prefix.
pub(crate) fn from_env(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    from_all(None, variables, &[])
}

/// Loads a file, variables without their prefix, and flags.
pub(crate) fn from_all(
    file: Option<&[u8]>,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, value)| (format!("DORMOUSE_{name}"), value.to_string()));
    let loader = Loader::new()
        .environment(variables)
        .file(file.map(|_| std::path::PathBuf::from("test.toml")));
    let loader = flags
        .iter()
        .fold(loader, |loader, (key, value)| loader.flag(*key, *value));
    loader.load_with(|_| Ok(file.unwrap_or_default().to_owned()))
}

/// The lines of the faults; panics where there are none.
pub(crate) fn faults(loaded: Result<Loaded, ConfigError>) -> Vec<String> {
    match loaded {
        Ok(loaded) => panic!("loaded without a fault:\n{}", loaded.show()),
        Err(err) => err.to_string().lines().map(Into::into).collect(),
    }
}

/// The one fault; panics where there are none or several.
pub(crate) fn fault(loaded: Result<Loaded, ConfigError>) -> String {
    let mut lines = faults(loaded);
    assert_eq!(lines.len(), 1, "expected one fault: {lines:#?}");
    lines.remove(0)
}

/// Requires exactly one fault, with all these parts.
#[track_caller]
pub(crate) fn assert_fault(loaded: Result<Loaded, ConfigError>, parts: &[&str]) {
    let line = fault(loaded);
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}
