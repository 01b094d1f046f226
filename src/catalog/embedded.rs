//! The catalog files that are compiled into the binary.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/assets/catalog"]
struct CatalogFiles;

/// File name and text of every embedded catalog file, sorted by name.
pub fn embedded_files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = CatalogFiles::iter()
        .filter(|name| name.ends_with(".yaml"))
        .filter_map(|name| Some((name.to_string(), CatalogFiles::get(&name)?)))
        .map(|(name, file)| (name, String::from_utf8_lossy(&file.data).into_owned()))
        .collect();
    files.sort();
    files
}
