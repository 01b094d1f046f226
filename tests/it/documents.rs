//! Documents that are generated from the code, or must agree with it.

use std::fs;
use std::path::Path;

use hitchpost::config;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_example_environment_lists_every_setting() {
    assert_eq!(read(".env.example"), config::env_example(), "run `just documents`");
}

#[test]
fn the_readme_has_the_table_of_settings() {
    assert!(
        read("README.md").contains(&config::settings_table()),
        "run `just documents` and paste the table"
    );
}
