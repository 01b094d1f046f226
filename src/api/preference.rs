//! What a caller prefers: weighted lists such as `Accept-Encoding` (RFC 9110, section 12.4.2).

use axum::http::{HeaderMap, HeaderName, header};

use crate::catalog::Language;
use crate::published::Coding;

/// The content coding to answer with; none for the bytes as they are.
pub fn preferred_coding(headers: &HeaderMap) -> Option<Coding> {
    let wishes = weighted(headers, &header::ACCEPT_ENCODING);
    let weight = |names: &[&str]| {
        let named =
            wishes.iter().find(|(name, _)| names.iter().any(|known| name.eq_ignore_ascii_case(known)));
        named.or_else(|| wishes.iter().find(|(name, _)| *name == "*")).map(|(_, weight)| *weight)
    };
    let named = |coding: Coding| match coding {
        Coding::Gzip => weight(&["gzip", "x-gzip"]),
        other => weight(&[other.as_str()]),
    };
    let mut best: Option<(Coding, f32)> = None;
    for coding in Coding::ALL {
        let weight = named(coding).unwrap_or(0.0);
        // Of equals the first, which is the smallest.
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    let (coding, weight) = best?;
    let plain = wishes.iter().find(|(name, _)| name.eq_ignore_ascii_case("identity"));
    let prefers_plain = plain.is_some_and(|(_, plain)| *plain > weight);
    (!prefers_plain).then_some(coding)
}

/// The language to answer in: that of the greatest weight, the first of equals; English when none is known.
pub fn preferred_language(headers: &HeaderMap) -> Language {
    let mut best = (Language::default(), 0.0);
    for (tag, weight) in weighted(headers, &header::ACCEPT_LANGUAGE) {
        if let Some(language) = Language::of_tag(tag).filter(|_| weight > best.1) {
            best = (language, weight);
        }
    }
    best.0
}

/// Names with their weights, 1 where none is given and 0 where it cannot be read.
fn weighted<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<(&'h str, f32)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(weighted_item).collect()
}

fn weighted_item(item: &str) -> Option<(&str, f32)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or(0.0));
    Some((name, if (0.0..=1.0).contains(&weight) { weight } else { 0.0 }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_coding_with_the_greatest_weight_is_chosen() {
        let (br, zstd, gzip) = (Some(Coding::Brotli), Some(Coding::Zstd), Some(Coding::Gzip));
        for (value, expected) in [
            ("", None),
            ("gzip, compress, deflate, br", br),
            ("gzip", gzip),
            ("X-GZIP", gzip),
            ("GZIP;q=1.0, br;q=0.9", gzip),
            ("gzip;q=0.5, zstd;q=0.8, br;q=0.8", br),
            ("zstd, gzip;q=0.9", zstd),
            ("*", br),
            ("*;q=0.1, gzip;q=0.2", gzip),
            ("br;q=0, *", zstd),
            ("br;q=0", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", gzip),
            ("deflate", None),
            ("gzip;q=nonsense", None),
            ("gzip;q=2", None),
            ("br;q=nan", None),
            (",;q=1, ;", None),
        ] {
            assert_eq!(preferred_coding(&headers(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn the_language_with_the_greatest_weight_is_chosen() {
        for (value, expected) in [
            ("", Language::En),
            ("fr;q=0.8, de", Language::De),
            ("de-AT, fr", Language::De),
            ("fr, de", Language::Fr),
            ("pt-BR, es;q=0.2", Language::Es),
            ("de;q=0", Language::En),
            ("*", Language::En),
        ] {
            assert_eq!(preferred_language(&headers(header::ACCEPT_LANGUAGE, value)), expected, "{value}");
        }
    }
}
