//! The `performance` command: the figures of the performance document, from kept results.

use std::path::PathBuf;

use clap::Args;

use super::output::say;
use crate::failure::{EXIT_LIMITS_BROKEN, EXIT_PASSED, Failure};
use crate::performance::{self, Results};
use crate::result_file::ResultFile;

/// Flags of the document.
#[derive(Debug, Args)]
pub struct PerformanceArgs {
    /// Where results are kept.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
    /// The document.
    #[arg(long, default_value = "docs/performance.md")]
    page: PathBuf,
    /// Change nothing; exit with 1 when the figures are not those of the results.
    #[arg(long)]
    check: bool,
}

/// Fills the document.
///
/// # Errors
/// The results or the document cannot be read, or the document not written.
pub fn run(args: &PerformanceArgs) -> Result<u8, Failure> {
    let name = args.page.display();
    let results = Results::read(&args.results)?;
    let page = std::fs::read_to_string(&args.page)
        .map_err(|err| Failure::Usage(format!("cannot read {name}: {err}")))?;
    let filled = performance::fill(&page, &results)?;
    if filled == page {
        return Ok(EXIT_PASSED);
    }
    if args.check {
        say(&format!(
            "{name} does not show the results in {}; run `dormouse-bench performance`\n",
            args.results.display()
        ));
        return Ok(EXIT_LIMITS_BROKEN);
    }
    ResultFile::prepare(&args.page)?.write_text(&filled)?;
    Ok(EXIT_PASSED)
}
