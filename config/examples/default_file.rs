//! Prints the commented default settings:
//! `cargo run -p dormouse-config --example default_file > config/default.toml`.

fn main() {
    print!("{}", dormouse_config::generate_default_toml());
}
