//! The JSON result: one versioned document per run, written whole or not at all; and the same as a
//! page.
//!
//! Owns the file and the document's frame; the scenarios own what is in it, [`crate::document`]
//! reads it back. Called by the command line before a run and after it.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::html;
use crate::machine::Machine;

/// Version of the document; raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// A place for a result, made sure of before the run. Nothing lies there until the result is
/// complete, so that a run that is killed leaves nothing behind.
#[derive(Debug)]
pub struct ResultFile {
    path: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, T> {
    schema: u32,
    tool: &'static str,
    version: &'static str,
    scenario: &'a str,
    machine: Machine,
    #[serde(flatten)]
    outcome: &'a T,
}

fn document<'a, T>(scenario: &'a str, outcome: &'a T) -> Document<'a, T> {
    Document {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        scenario,
        machine: Machine::this(),
        outcome,
    }
}

/// Bytes that must be free for a result before a run is begun.
const ROOM: usize = 512 << 10;

impl ResultFile {
    /// Makes sure that a result can be written to `path`. Leaves what is there untouched.
    ///
    /// # Errors
    /// [`Failure::ResultFile`]: no such folder, no permission, or `path` is a folder.
    pub fn prepare(path: &Path) -> Result<Self, Failure> {
        let file = Self {
            path: path.to_owned(),
        };
        if path.is_dir() {
            return Err(file.refuse("it is a folder"));
        }
        // Written and removed again: the only proof that it can be done, also on a disk that is
        // nearly full.
        let mut probe = file.temporary()?;
        let room = probe.as_file_mut().write_all(&vec![0; ROOM]);
        room.map_err(|err| file.refuse(err))?;
        Ok(file)
    }

    /// Writes the document next to its place and then moves it there.
    ///
    /// # Errors
    /// [`Failure::ResultFile`]; whatever was at the path before is still there.
    pub fn write<T: Serialize>(self, scenario: &str, outcome: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(&document(scenario, outcome))
            .map_err(|err| self.refuse(err))?;
        text.push('\n');
        self.write_text(&text)
    }

    /// Writes the result as an HTML page.
    ///
    /// # Errors
    /// [`Failure::ResultFile`]; whatever was at the path before is still there.
    pub fn write_page<T: Serialize>(self, scenario: &str, outcome: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(&document(scenario, outcome));
        let document = text.and_then(|text| serde_json::from_str(&text));
        let document = document.map_err(|err| self.refuse(err))?;
        self.write_text(&html::page(&document))
    }

    /// Writes a text next to its place and then moves it there.
    ///
    /// # Errors
    /// [`Failure::ResultFile`]; whatever was at the path before is still there.
    pub fn write_text(self, text: &str) -> Result<(), Failure> {
        let temporary = self.temporary()?;
        let written = || -> std::io::Result<()> {
            let mut writer = BufWriter::new(temporary.as_file());
            writer.write_all(text.as_bytes())?;
            writer.flush()?;
            temporary.as_file().sync_all()
        };
        written().map_err(|err| self.refuse(err))?;
        temporary
            .persist(&self.path)
            .map_err(|err| self.refuse(err.error))?;
        Ok(())
    }

    fn temporary(&self) -> Result<NamedTempFile, Failure> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dormouse-bench-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // As any program writes its files: the umask has the last word.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        // The library's own text names the temporary file, which would only confuse.
        builder
            .tempfile_in(folder)
            .map_err(|err| self.refuse(err.kind()))
    }

    fn refuse(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::ResultFile {
            path: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_result_is_a_versioned_document_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, "old").unwrap();
        let file = ResultFile::prepare(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        file.write("smoke", &json!({"passed": true})).unwrap();
        let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(document["schema"], 1);
        assert_eq!(document["tool"], "dormouse-bench");
        assert_eq!(document["scenario"], "smoke");
        assert_eq!(document["passed"], true);
        assert!(document["machine"]["cpus"].as_u64().unwrap() > 0);
        assert_eq!(names(folder.path()), ["result.json"]);
    }

    #[test]
    fn a_run_that_ends_without_a_result_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, "old").unwrap();
        drop(ResultFile::prepare(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["result.json"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            folder.path().join("missing/result.json"),
        ] {
            let failure = ResultFile::prepare(&path).unwrap_err();
            assert_eq!(failure.exit_code(), 7);
            let text = failure.to_string();
            assert!(
                text.contains(path.to_str().unwrap()) && !text.contains(".dormouse-bench-"),
                "{text}"
            );
        }
    }
}
