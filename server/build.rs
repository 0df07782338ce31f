//! Tells the tests whether PostgreSQL's programs are here: those that need them are listed by name
//! as ignored otherwise.

use std::path::Path;

fn main() {
    const INSTALLED: &str = "/usr/lib/postgresql";
    println!("cargo::rerun-if-changed={INSTALLED}");
    println!("cargo::rustc-check-cfg=cfg(postgres_is_installed)");
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    if versions
        .map(|version| version.path().join("bin/initdb"))
        .any(|initdb| Path::new(&initdb).is_file())
    {
        println!("cargo::rustc-cfg=postgres_is_installed");
    }
}
