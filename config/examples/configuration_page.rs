//! Prints the reference of all settings:
//! `cargo run -p dormouse-config --example configuration_page > docs/configuration.md`.

fn main() {
    print!("{}", dormouse_config::reference_markdown());
}
