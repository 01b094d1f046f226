//! The encryption key: from the settings, or from a file in the data directory that the first start creates.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::StartError;
use crate::config::Config;
use crate::crypto::{Cipher, CryptoError, Secret, generate_key};
use crate::rng::Rng;

const KEY_FILE: &str = "encryption-key";

/// The key ring that this process seals and opens with.
pub fn load_cipher(config: &Config, rng: &Rng) -> Result<Cipher, StartError> {
    if let Some(list) = &config.keys.encryption {
        return parse(list.expose(), "NANGO_ENCRYPTION_KEY", rng);
    }
    prepare_data_dir(&config.data_dir)?;
    let path = config.data_dir.join(KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(list) => parse(list.trim(), &path.display().to_string(), rng),
        Err(error) if error.kind() == ErrorKind::NotFound => create(&path, rng),
        Err(error) => Err(StartError(format!("The key file {} cannot be read: {error}.", path.display()))),
    }
}

fn parse(list: &str, place: &str, rng: &Rng) -> Result<Cipher, StartError> {
    Cipher::from_key_list(list, rng.clone()).map_err(|error: CryptoError| {
        StartError(format!("{place}: number {error}. Make one with `openssl rand -base64 32`."))
    })
}

fn create(path: &Path, rng: &Rng) -> Result<Cipher, StartError> {
    let key: Secret = generate_key(rng);
    write_private(path, key.expose())?;
    tracing::warn!(
        path = %path.display(),
        "a new encryption key was created: BACK UP THIS FILE NOW, without it every stored credential is lost"
    );
    parse(key.expose(), &path.display().to_string(), rng)
}

/// Creates the data directory so that only its owner can enter it.
pub fn prepare_data_dir(path: &Path) -> Result<(), StartError> {
    let failed = |error: std::io::Error| {
        StartError(format!(
            "The data directory {} cannot be used: {error}. Set HITCHPOST_DATA_DIR.",
            path.display()
        ))
    };
    let existed = path.exists();
    fs::create_dir_all(path).map_err(failed)?;
    if existed { Ok(()) } else { restrict(path, 0o700).map_err(failed) }
}

/// Writes a new file that only its owner can read; never replaces one.
pub fn write_private(path: &Path, content: &str) -> Result<(), StartError> {
    write_line(path, content, OpenOptions::new().write(true).create_new(true))
}

/// Adds to a file that only its owner can read, or makes one.
pub fn append_private(path: &Path, content: &str) -> Result<(), StartError> {
    write_line(path, content, OpenOptions::new().append(true).create(true))
}

fn write_line(path: &Path, content: &str, options: &mut OpenOptions) -> Result<(), StartError> {
    let failed = |error: std::io::Error| {
        StartError(format!("The file {} cannot be written: {error}.", path.display()))
    };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_readable_by_its_owner_only_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, "text").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text\n");
        assert!(write_private(&path, "other").is_err());
    }

    #[test]
    fn a_bad_key_is_explained_without_being_shown() {
        let error = parse("c2VjcmV0", "NANGO_ENCRYPTION_KEY", &Rng::System).err().unwrap().to_string();
        assert!(
            error.contains("number 1 of the encryption keys is not the base64 text of exactly 32 bytes"),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"));
    }
}
