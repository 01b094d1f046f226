//! Files for browsers, embedded in the binary: their bytes in the codings that browsers take, and one build hash for their
//! URLs. Pages name them by that hash, so that they can be cached for ever. Answers nothing by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_compression::Level;
use async_compression::brotli::EncoderParams;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use rust_embed::RustEmbed;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::crypto::sha256;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/assets/static"]
struct StaticFiles;

static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::read);

/// Every embedded file, and the hash of them all.
pub struct Assets {
    build: String,
    files: BTreeMap<String, Arc<Coded>>,
}

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// The best one that an `Accept-Encoding` header takes.
    pub fn accepted_by(header: &str) -> Self {
        let takes = |name: &str| {
            header.split(',').any(|part| {
                let (coding, weight) = part.split_once(';').unwrap_or((part, "q=1"));
                let weight =
                    weight.trim().strip_prefix("q=").and_then(|text| text.trim().parse::<f32>().ok());
                coding.trim().eq_ignore_ascii_case(name) && weight.is_none_or(|weight| weight > 0.0)
            })
        };
        [(Coding::Brotli, "br"), (Coding::Gzip, "gzip")]
            .into_iter()
            .find(|(_, name)| takes(name))
            .map_or(Coding::Identity, |(coding, _)| coding)
    }

    /// Its name in `Content-Encoding`; none for the bytes as they are.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Brotli => Some("br"),
        }
    }
}

/// Bytes that are compressed once, as well as it can be done.
pub struct Coded {
    plain: Bytes,
    /// None when compressing failed.
    compressed: OnceCell<Option<Compressed>>,
}

struct Compressed {
    gzip: Bytes,
    brotli: Bytes,
}

impl Coded {
    pub fn new(plain: impl Into<Bytes>) -> Self {
        Coded { plain: plain.into(), compressed: OnceCell::new() }
    }

    /// The bytes in this coding, or in a lesser one. The first call compresses them, on a thread for blocking work.
    pub async fn bytes(&self, coding: Coding) -> (Coding, Bytes) {
        if coding == Coding::Identity {
            return (coding, self.plain.clone());
        }
        let compressed = self.compressed.get_or_init(|| compress(self.plain.clone())).await;
        match compressed {
            Some(compressed) if coding == Coding::Brotli => (coding, compressed.brotli.clone()),
            Some(compressed) => (coding, compressed.gzip.clone()),
            None => (Coding::Identity, self.plain.clone()),
        }
    }
}

async fn compress(plain: Bytes) -> Option<Compressed> {
    let runtime = tokio::runtime::Handle::current();
    let work = tokio::task::spawn_blocking(move || runtime.block_on(compress_both(&plain)));
    work.await.ok().and_then(Result::ok)
}

async fn compress_both(plain: &[u8]) -> std::io::Result<Compressed> {
    Ok(Compressed { gzip: gzip(plain).await?.into(), brotli: brotli(plain).await?.into() })
}

async fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzipEncoder::with_quality(Vec::new(), Level::Best);
    encoder.write_all(plain).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}

/// The encoder's memory grows with its window, and the allocator keeps what it once had: 64 KiB hold any of these files.
const BROTLI_WINDOW_BITS: i32 = 16;

async fn brotli(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let params = EncoderParams::default().quality(Level::Best).window_size(BROTLI_WINDOW_BITS);
    let mut encoder = BrotliEncoder::with_params(Vec::new(), params);
    encoder.write_all(plain).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}

impl Assets {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        let mut all = Vec::new();
        for name in StaticFiles::iter() {
            let Some(file) = StaticFiles::get(&name) else { continue };
            all.extend_from_slice(name.as_bytes());
            all.extend_from_slice(&sha256(&file.data));
            files.insert(name.into_owned(), Arc::new(Coded::new(file.data.into_owned())));
        }
        let build = hex::encode(&sha256(&all)[..6]);
        Assets { build, files }
    }

    /// What changes when any file does.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The file at a path below `assets/static`.
    pub fn find(&self, path: &str) -> Option<&Arc<Coded>> {
        self.files.get(path)
    }

    /// The paths that start with `prefix`, sorted.
    pub fn list(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(move |path| path.starts_with(prefix))
    }
}

/// The files of this binary.
pub fn assets() -> &'static Assets {
    &ASSETS
}

/// Compresses every file, so that no browser waits for it.
pub async fn prepare() {
    for file in assets().files.values() {
        file.bytes(Coding::Brotli).await;
    }
}

/// The media type of a file, from its ending.
pub fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json; charset=utf-8",
        "svg" => "image/svg+xml",
        "html" => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_is_taken_is_chosen() {
        for (header, expected) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip", Coding::Gzip),
            ("GZIP;q=0.5, br;q=0", Coding::Gzip),
            ("br; q=0.1", Coding::Brotli),
            ("deflate, identity", Coding::Identity),
            ("brotli, xgzip", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(Coding::accepted_by(header), expected, "{header}");
        }
    }

    #[tokio::test]
    async fn compressed_bytes_are_smaller_and_compressed_once() {
        let file = Coded::new("hello ".repeat(1000));
        let (_, plain) = file.bytes(Coding::Identity).await;
        for coding in [Coding::Gzip, Coding::Brotli] {
            let (given, bytes) = file.bytes(coding).await;
            assert_eq!(given, coding);
            assert!(bytes.len() < plain.len() / 10, "{coding:?}");
            assert_eq!(bytes.as_ptr(), file.bytes(coding).await.1.as_ptr(), "{coding:?}");
        }
    }

    #[test]
    fn the_build_is_named_by_what_is_in_it() {
        assert_eq!(assets().build().len(), 12);
        assert!(assets().list("js/connect/").any(|path| path == "js/connect/main.js"));
        assert!(assets().find("css/connect.css").is_some() && assets().find("css/nope.css").is_none());
    }
}
