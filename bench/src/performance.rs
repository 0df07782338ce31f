//! The performance document: hand-written text with figures between marks, which are filled from
//! committed result files.
//!
//! A block stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`; everything else
//! is left as it is. What has not been run shows as such, so that the form is always whole.

mod blocks;

use std::path::{Path, PathBuf};

use crate::baseline;
use crate::document::ResultDocument;
use crate::failure::Failure;

const BEGIN: &str = "<!-- figures: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end of figures -->";

/// The kept results, looked up by the name of their file.
#[derive(Debug)]
pub struct Results {
    kept: Vec<(PathBuf, ResultDocument)>,
    history: Vec<String>,
}

impl Results {
    /// Reads a folder of results.
    ///
    /// # Errors
    /// It cannot be read, or a file in it is no result.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let kept = baseline::kept(folder)?;
        let mut history = baseline::history_rows(folder);
        // Results may be kept by other hands than `baseline save`.
        for (path, document) in &kept {
            if document.scenario == "footprint" {
                continue;
            }
            let folder = path
                .parent()
                .and_then(|folder| folder.file_name()?.to_str());
            let machine = folder.and_then(|name| name.get(document.day().len() + 1..));
            let passed = document.passed.unwrap_or(true);
            let row = baseline::history_row(machine.unwrap_or("-"), document, passed);
            let row = row.trim_end().to_owned();
            if !history.contains(&row) {
                history.push(row);
            }
        }
        history.sort();
        Ok(Self { kept, history })
    }

    /// The newest result whose file has this name, without the extension.
    fn newest(&self, name: &str) -> Option<&ResultDocument> {
        self.named(|stem| stem == name).pop().map(|found| found.1)
    }

    /// The newest result of each name that is asked for, by name.
    fn named(&self, asked: impl Fn(&str) -> bool) -> Vec<(&str, &ResultDocument)> {
        let mut found: Vec<(&str, &ResultDocument)> = Vec::new();
        for (path, document) in &self.kept {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if asked(stem) {
                found.retain(|other| other.0 != stem);
                found.push((stem, document));
            }
        }
        found.sort_by_key(|entry| entry.0);
        found
    }
}

/// The page with every block filled anew.
///
/// # Errors
/// [`Failure::Usage`]: an unknown block, or one that does not end.
pub fn fill(page: &str, results: &Results) -> Result<String, Failure> {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let usage = |text: String| Failure::Usage(text);
        let (name, body) = after.split_once(BEGIN_END).ok_or_else(|| {
            usage(format!(
                "a mark is not closed: write \"{BEGIN}NAME{BEGIN_END}\""
            ))
        })?;
        let (_, after) = body.split_once(END).ok_or_else(|| {
            usage(format!(
                "the block \"{name}\" does not end: write \"{END}\""
            ))
        })?;
        let figures = blocks::block(name, results).ok_or_else(|| {
            usage(format!(
                "unknown block \"{name}\"; use {}",
                blocks::NAMES.map(|block| block.0).join(", ")
            ))
        })?;
        filled.push_str(before);
        filled.push_str(BEGIN);
        filled.push_str(name);
        filled.push_str(BEGIN_END);
        filled.push('\n');
        filled.push_str(figures.trim_end());
        filled.push('\n');
        filled.push_str(END);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Results {
        Results {
            kept: Vec::new(),
            history: Vec::new(),
        }
    }

    #[test]
    fn every_block_has_a_form_without_any_result() {
        for (name, _) in blocks::NAMES {
            let page = format!("before\n<!-- figures: {name} -->\nold\n{END}\nafter\n");
            let filled = fill(&page, &none()).unwrap();
            assert!(filled.starts_with("before\n<!-- figures: "), "{filled}");
            assert!(filled.ends_with(&format!("{END}\nafter\n")), "{filled}");
            assert!(!filled.contains("old"), "{filled}");
            assert_eq!(
                fill(&filled, &none()).unwrap(),
                filled,
                "filling twice changes nothing"
            );
        }
    }

    #[test]
    fn faults_in_the_page_are_named() {
        let cases = [
            (
                "<!-- figures: nonsense -->\n<!-- end of figures -->",
                "unknown block \"nonsense\"",
            ),
            ("<!-- figures: ws -->\n", "the block \"ws\" does not end"),
            ("<!-- figures: ws", "a mark is not closed"),
        ];
        for (page, expected) in cases {
            let err = fill(page, &none()).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
        }
        assert_eq!(fill("no blocks", &none()).unwrap(), "no blocks");
    }
}
