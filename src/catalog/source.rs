//! Where catalog text comes from: files, folders, or text that the caller fetched. The only I/O of this module.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Language;

/// One overlay of the catalog.
#[derive(Debug, Clone)]
pub enum Source {
    /// A `.yaml`, `.yml` or `.json` file, or a folder of them (taken in the order of their names).
    Path(PathBuf),
    /// Text that was fetched from somewhere; `name` is what problems call it.
    Text { name: String, text: String },
}

/// What is known about the files behind path sources without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

/// Modification time and length of every file behind the path sources. Two equal fingerprints mean: no reload.
pub fn fingerprint(sources: &[Source]) -> Fingerprint {
    let mut files = Vec::new();
    for source in sources {
        if let Source::Path(path) = source {
            files.extend(catalog_files(path).unwrap_or_else(|_| vec![path.clone()]));
            files.extend(translation_files(path).into_iter().map(|(_, file)| file));
        }
    }
    Fingerprint(
        files.into_iter().map(|path| (state(&path), path)).map(|(state, path)| (path, state)).collect(),
    )
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A text, or the path that could not be read and why.
pub(super) type Read = Result<(String, String), (String, io::Error)>;

/// The named texts of one source, in order.
pub(super) fn read(source: &Source) -> Vec<Read> {
    let path = match source {
        Source::Text { name, text } => return vec![Ok((name.clone(), text.clone()))],
        Source::Path(path) => path,
    };
    match catalog_files(path) {
        Ok(files) => files.iter().map(|file| read_file(file)).collect(),
        Err(error) => vec![Err((path.display().to_string(), error))],
    }
}

/// The translations that lie beside a source, with their languages.
pub(super) fn read_translations(source: &Source) -> Vec<(Language, Read)> {
    let Source::Path(path) = source else { return Vec::new() };
    translation_files(path).into_iter().map(|(language, file)| (language, read_file(&file))).collect()
}

/// `i18n/providers.<language>.json` in the folder, or beside the file.
fn translation_files(path: &Path) -> Vec<(Language, PathBuf)> {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let Some(folder) = folder.map(|folder| folder.join("i18n")) else { return Vec::new() };
    let file = |language: Language| (language, folder.join(format!("providers.{}.json", language.as_str())));
    Language::ALL.into_iter().map(file).filter(|(_, file)| file.is_file()).collect()
}

fn read_file(path: &Path) -> Read {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err((name, error)),
    }
}

/// The file itself, or the catalog files of a folder sorted by name.
fn catalog_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
    let mut files: Vec<_> = entries?.into_iter().filter(|path| is_catalog_file(path)).collect();
    files.sort();
    Ok(files)
}

/// Lists of scopes and npm's own file lie beside the published catalog and are none.
fn is_catalog_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let is_data = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    is_data && !name.starts_with('.') && !name.contains(".scopes.") && name != "package.json"
}
