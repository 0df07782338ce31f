//! The `report` command: the page of a result that was written earlier.

use std::path::PathBuf;

use clap::Args;

use crate::document::ResultDocument;
use crate::failure::{EXIT_PASSED, Failure};
use crate::html;
use crate::result_file::ResultFile;

/// Flags of the report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Result that this program wrote with --out.
    result: PathBuf,
    /// Where the page goes.
    #[arg(long, value_name = "FILE")]
    out_html: PathBuf,
}

/// Writes the page.
///
/// # Errors
/// The result cannot be read or the page not written.
pub fn run(args: &ReportArgs) -> Result<u8, Failure> {
    let result = ResultDocument::read(&args.result)?;
    ResultFile::prepare(&args.out_html)?.write_text(&html::page(&result))?;
    Ok(EXIT_PASSED)
}
