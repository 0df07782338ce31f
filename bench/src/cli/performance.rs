//! The `performance` command: the figures of the documents, from kept results.

use std::path::PathBuf;

use clap::Args;

use super::output::say;
use crate::failure::{EXIT_LIMITS_BROKEN, EXIT_PASSED, Failure};
use crate::performance::{self, Results};
use crate::result_file::ResultFile;

/// Flags of the documents.
#[derive(Debug, Args)]
pub struct PerformanceArgs {
    /// Where results are kept.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
    /// The documents.
    #[arg(
        long = "page",
        value_name = "FILE",
        default_values = ["docs/performance.md", "docs/reliability.md"]
    )]
    pages: Vec<PathBuf>,
    /// Change nothing; exit with 1 when the figures are not those of the results.
    #[arg(long)]
    check: bool,
}

/// Fills the documents.
///
/// # Errors
/// The results or a document cannot be read, or a document not written.
pub fn run(args: &PerformanceArgs) -> Result<u8, Failure> {
    let results = Results::read(&args.results)?;
    let mut code = EXIT_PASSED;
    for path in &args.pages {
        let name = path.display();
        let page = std::fs::read_to_string(path)
            .map_err(|err| Failure::Usage(format!("cannot read {name}: {err}")))?;
        let filled = performance::fill(&page, &results)?;
        if filled == page {
            continue;
        }
        if args.check {
            say(&format!(
                "{name} does not show the results in {}; run `dormouse-bench performance`\n",
                args.results.display()
            ));
            code = EXIT_LIMITS_BROKEN;
            continue;
        }
        ResultFile::prepare(path)?.write_text(&filled)?;
    }
    Ok(code)
}
