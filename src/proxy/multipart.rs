//! Multipart bodies that the proxy makes itself, or adds fields to (RFC 7578). Pure.

use http::HeaderValue;

use super::body::is_type;
use super::json_form::Field;
use crate::crypto::sha256;

/// A body with these fields, and its content type.
pub(super) fn build(fields: &[Field]) -> (Vec<u8>, HeaderValue) {
    let boundary = boundary_for(fields);
    let mut body = Vec::new();
    push_parts(&mut body, &boundary, fields);
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let header = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
    (body, header.unwrap_or(HeaderValue::from_static("multipart/form-data")))
}

/// The body with more fields at its end; none when its end cannot be found.
pub(super) fn append(body: &[u8], content_type: &HeaderValue, fields: &[Field]) -> Option<Vec<u8>> {
    let boundary = boundary_of(content_type)?;
    let end = format!("--{boundary}--");
    let at = body.windows(end.len()).rposition(|window| window == end.as_bytes())?;
    let mut appended = body[..at].to_vec();
    push_parts(&mut appended, boundary, fields);
    appended.extend_from_slice(&body[at..]);
    Some(appended)
}

fn push_parts(body: &mut Vec<u8>, boundary: &str, fields: &[Field]) {
    for (name, value) in fields {
        let head =
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"\r\n\r\n", escape(name));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
}

/// As browsers write names (HTML, "multipart form data").
fn escape(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A boundary made from the content, so that the content cannot contain it.
fn boundary_for(fields: &[Field]) -> String {
    let mut content = Vec::new();
    for (name, value) in fields {
        content.extend_from_slice(name.as_bytes());
        content.push(0);
        content.extend_from_slice(value.as_bytes());
        content.push(0);
    }
    format!("hitchpost-{}", hex::encode(&sha256(&content)[..16]))
}

fn boundary_of(content_type: &HeaderValue) -> Option<&str> {
    if !is_type(content_type, "multipart/form-data") {
        return None;
    }
    let parameters = content_type.to_str().ok()?.split(';').skip(1);
    let value = parameters
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim().trim_matches('"'))?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        vec![("a\"b".into(), "1".into()), ("c".into(), "x\r\ny".into())]
    }

    #[test]
    fn fields_become_parts() {
        let (body, header) = build(&fields());
        let text = String::from_utf8(body).unwrap();
        let boundary = boundary_of(&header).unwrap();
        assert_eq!(
            text.replace(boundary, "B"),
            "--B\r\ncontent-disposition: form-data; name=\"a%22b\"\r\n\r\n1\r\n\
             --B\r\ncontent-disposition: form-data; name=\"c\"\r\n\r\nx\r\ny\r\n--B--\r\n"
        );
    }

    #[test]
    fn fields_are_added_before_the_end() {
        let header = HeaderValue::from_static("multipart/form-data; charset=utf-8; boundary=\"B\"");
        let sent = b"--B\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\n\xff\r\n--B--\r\n";
        let body = append(sent, &header, &[("k".into(), "v".into())]).unwrap();
        let expected = b"--B\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\n\xff\r\n\
            --B\r\ncontent-disposition: form-data; name=\"k\"\r\n\r\nv\r\n--B--\r\n";
        assert_eq!(body, expected);
        assert_eq!(append(b"no end", &header, &[]), None);
        assert_eq!(append(sent, &HeaderValue::from_static("multipart/form-data"), &[]), None);
    }
}
