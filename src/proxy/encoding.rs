//! Content codings: what the client accepts, what the provider is offered, and decoding (`spec` proxy, section 11.4).

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use axum::body::Body;
use futures_util::TryStreamExt;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use tokio_util::io::{ReaderStream, StreamReader};

/// A coding that Hitchpost can take off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
    Deflate,
}

impl Coding {
    /// In the order in which they are offered.
    const ALL: [(Coding, &'static str); 4] = [
        (Coding::Gzip, "gzip"),
        (Coding::Brotli, "br"),
        (Coding::Zstd, "zstd"),
        (Coding::Deflate, "deflate"),
    ];

    fn named(name: &str) -> Option<Self> {
        // RFC 9110 section 8.4.1.3: `x-gzip` is the old name.
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        Self::ALL.iter().find(|(_, known)| name.eq_ignore_ascii_case(known)).map(|(coding, _)| *coding)
    }

    /// The coding of an answer, when it is exactly one that can be taken off.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        Self::named(value.to_str().ok()?.trim())
    }

    /// The body without this coding. A damaged or cut-off body ends in an error, never cleanly.
    pub fn decode(self, body: Body) -> Body {
        let reader = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
        match self {
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Body::from_stream(ReaderStream::new(decoder))
            }
            Coding::Brotli => Body::from_stream(ReaderStream::new(BrotliDecoder::new(reader))),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new(reader);
                decoder.multiple_members(true);
                Body::from_stream(ReaderStream::new(decoder))
            }
            // RFC 9110 section 8.4.1.2: "deflate" is the zlib format.
            Coding::Deflate => Body::from_stream(ReaderStream::new(ZlibDecoder::new(reader))),
        }
    }
}

/// The codings that a client's `Accept-Encoding` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Accepted([bool; 4]);

impl Accepted {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Accepted::default();
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for item in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            if let Some(coding) = Coding::named(name.trim()).filter(|_| !is_refused(parameters)) {
                accepted.0[coding as usize] = true;
            }
        }
        accepted
    }

    pub fn contains(self, coding: Coding) -> bool {
        self.0[coding as usize]
    }

    /// What the provider is told: what the client takes, or everything when the answer is to be decoded anyway.
    pub fn offer(self, decodes: bool) -> HeaderValue {
        if decodes {
            return HeaderValue::from_static("gzip, br, zstd, deflate");
        }
        match self.0 {
            [false, false, false, false] => HeaderValue::from_static("identity"),
            [true, false, false, false] => HeaderValue::from_static("gzip"),
            [true, false, false, true] => HeaderValue::from_static("gzip, deflate"),
            [true, true, false, true] => HeaderValue::from_static("gzip, br, deflate"),
            [true, true, true, true] => HeaderValue::from_static("gzip, br, zstd, deflate"),
            listed => {
                let names = Coding::ALL.iter().filter(|(coding, _)| listed[*coding as usize]);
                let names: Vec<&str> = names.map(|(_, name)| *name).collect();
                HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("identity"))
            }
        }
    }
}

/// `q=0` means "not this one" (RFC 9110 section 12.4.2).
fn is_refused(parameters: &str) -> bool {
    let quality = parameters.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
    quality.is_some_and(|quality| quality <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_what_the_client_takes() {
        for (listed, decodes, expected) in [
            (None, false, "identity"),
            (None, true, "gzip, br, zstd, deflate"),
            (Some("gzip, compress, deflate, br"), false, "gzip, br, deflate"),
            (Some("GZIP;q=1.0, deflate"), false, "gzip, deflate"),
            (Some("br;q=0.5, gzip;q=0"), false, "br"),
            (Some("*"), false, "identity"),
            (Some("gzip"), true, "gzip, br, zstd, deflate"),
        ] {
            let pairs = listed.map(|text| (ACCEPT_ENCODING, HeaderValue::from_static(text)));
            let headers: HeaderMap = pairs.into_iter().collect();
            assert_eq!(Accepted::of(&headers).offer(decodes), expected, "{listed:?}");
        }
    }
}
