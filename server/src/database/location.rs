//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;

use super::error::OpenError;

/// The two kinds of database. One text of SQL serves both, except where data is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The place of a database. Its `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, made when it is missing.
    Sqlite(PathBuf),
    /// A URL of a PostgreSQL server, `postgres://user:password@host/database`.
    Postgres(String),
}

impl Location {
    /// The place that a setting names, or the file in the data folder without one.
    #[must_use]
    pub fn new(url: Option<&str>, data_dir: &Path) -> Self {
        match url {
            None => Self::Sqlite(data_dir.join("dormouse.db")),
            Some(url) => match url.strip_prefix("sqlite:") {
                Some(path) => Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
                None => Self::Postgres(url.to_owned()),
            },
        }
    }

    /// The kind of database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What connections are opened with. A file must exist: one that has vanished is not replaced
    /// by an empty one.
    pub(super) fn options(&self) -> Result<AnyConnectOptions, OpenError> {
        let url = match self {
            Self::Postgres(url) => url.clone(),
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(|err| self.unusable(&err))?;
                let path = path
                    .to_str()
                    .ok_or_else(|| self.unusable(&"the path is not UTF-8"))?;
                let path = path
                    .replace('%', "%25")
                    .replace('?', "%3F")
                    .replace('#', "%23");
                format!("sqlite://{path}?mode=rw")
            }
        };
        url.parse().map_err(|err: sqlx::Error| self.unusable(&err))
    }

    pub(super) fn unusable(&self, cause: &dyn fmt::Display) -> OpenError {
        OpenError::Unusable {
            location: self.to_string(),
            cause: cause.to_string(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "the SQLite file {}", path.display()),
            Self::Postgres(url) => {
                // Credentials stand before the last `@` of the authority, or in the query.
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let plain = rest.split(['?', '#']).next().unwrap_or_default();
                let plain = plain.rsplit('@').next().unwrap_or_default();
                write!(f, "the PostgreSQL database at {plain}")
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_file_in_the_data_folder() {
        let location = Location::new(None, Path::new("/data"));
        assert_eq!(location, Location::Sqlite("/data/dormouse.db".into()));
        assert_eq!(location.dialect(), Dialect::Sqlite);
        for url in ["sqlite:/x/y.db", "sqlite:///x/y.db"] {
            let location = Location::new(Some(url), Path::new("/data"));
            assert_eq!(location, Location::Sqlite("/x/y.db".into()));
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "postgres://bob:p4ss@db.example/dormouse",
            "postgres://bob:p@ss@db.example/dormouse?password=p4ss",
        ] {
            let location = Location::new(Some(url), Path::new("/data"));
            assert_eq!(location.dialect(), Dialect::Postgres);
            for text in [location.to_string(), format!("{location:?}")] {
                assert_eq!(text, "the PostgreSQL database at db.example/dormouse");
            }
        }
    }

    #[test]
    fn files_of_any_name_can_be_opened() {
        let location = Location::Sqlite("/a b/50%?#.db".into());
        assert!(location.options().is_ok());
    }
}
