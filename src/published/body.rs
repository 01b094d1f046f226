//! A large answer that is made once and sent often: its bytes, their compressed forms and their entity tag.

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OnceCell;

use crate::crypto::sha256;

/// A content coding, the most compact first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// The name in `Content-Encoding` and `Accept-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }
}

/// One text in every form in which it is sent.
pub struct PreparedBody {
    plain: Bytes,
    tag: String,
    compressed: [OnceCell<Bytes>; Coding::ALL.len()],
}

impl PreparedBody {
    pub fn new(plain: Vec<u8>) -> Self {
        // Weak, so that it holds for every coding of the same text (RFC 9110, section 8.8.1).
        let tag = format!("W/\"{:x}-{}\"", plain.len(), STANDARD_NO_PAD.encode(&sha256(&plain)[..18]));
        PreparedBody { plain: plain.into(), tag, compressed: Default::default() }
    }

    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The entity tag, quotes included.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The bytes to send. The first request for a coding pays for it, on a thread that serves nobody else.
    pub async fn encoded(&self, coding: Option<Coding>) -> Bytes {
        let Some(coding) = coding else { return self.plain.clone() };
        let made = self.compressed[coding as usize].get_or_init(|| compress(self.plain.clone(), coding));
        made.await.clone()
    }
}

async fn compress(plain: Bytes, coding: Coding) -> Bytes {
    let runtime = tokio::runtime::Handle::current();
    // Fast levels: at the best ones a list of 1,000 providers takes seconds, for a fifth less.
    let task = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            match coding {
                Coding::Brotli => read(BrotliEncoder::with_quality(&*plain, Level::Precise(6))).await,
                Coding::Zstd => read(ZstdEncoder::with_quality(&*plain, Level::Precise(9))).await,
                Coding::Gzip => read(GzipEncoder::with_quality(&*plain, Level::Precise(6))).await,
            }
        })
    });
    task.await.unwrap_or_default()
}

/// Reading from memory into memory cannot fail.
async fn read(mut encoder: impl AsyncRead + Unpin) -> Bytes {
    let mut encoded = Vec::new();
    let _ = encoder.read_to_end(&mut encoded).await;
    encoded.into()
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};

    use super::*;

    #[tokio::test]
    async fn every_coding_gives_the_same_text() {
        let text = "{\"data\":[1,2,3]}".repeat(1000).into_bytes();
        let body = PreparedBody::new(text.clone());
        assert_eq!(body.encoded(None).await, text);
        for coding in Coding::ALL {
            let encoded = body.encoded(Some(coding)).await;
            assert!(encoded.len() < text.len() / 10, "{coding:?}: {}", encoded.len());
            assert_eq!(encoded.as_ptr(), body.encoded(Some(coding)).await.as_ptr(), "{coding:?} is kept");
            let decoded = match coding {
                Coding::Brotli => read(BrotliDecoder::new(&*encoded)).await,
                Coding::Zstd => read(ZstdDecoder::new(&*encoded)).await,
                Coding::Gzip => read(GzipDecoder::new(&*encoded)).await,
            };
            assert_eq!(decoded, text, "{coding:?}");
        }
    }

    #[test]
    fn the_tag_follows_the_text() {
        let tag = |text: &str| PreparedBody::new(text.into()).tag().to_owned();
        assert_eq!(tag("a"), tag("a"));
        assert_ne!(tag("a"), tag("b"));
        assert!(tag("a").starts_with("W/\"1-"));
    }
}
