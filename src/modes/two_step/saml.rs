//! SAML 2.0 bearer assertions with an enveloped signature (XML Signature, RSA-SHA256, exclusive canonical XML). Pure.
//!
//! The document is written in its canonical form (https://www.w3.org/TR/xml-exc-c14n/): no space between elements, no empty
//! tags, attributes by name, each namespace declared where it is first used. What is hashed is therefore what is written.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::modes::signed_jwt::{KeyError, SigningKey};
use crate::oauth::xml::read_xml;
use crate::time_format::{format_millis_z, parse_date_text};

const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const UNSPECIFIED_NAME: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
const UNSPECIFIED_CONTEXT: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
const CANONICAL: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// What an assertion says about whom.
pub struct Statement {
    /// As [`xml_id`] gives it.
    pub id: String,
    pub issuer: String,
    pub name_id: String,
    pub name_id_format: Option<String>,
    pub audiences: Vec<String>,
    pub recipient: Option<String>,
    pub in_response_to: Option<String>,
    pub session_index: Option<String>,
    pub authn_context: Option<String>,
    pub attributes: Vec<(String, Vec<String>)>,
    pub now: DateTime<Utc>,
    pub lifetime: TimeDelta,
}

/// A text as the `ID` of an element: names in XML begin with a letter.
pub fn xml_id(text: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let kept: String = text.chars().filter(|c| is_allowed(*c)).collect();
    if kept.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') { kept } else { format!("_{kept}") }
}

/// When an assertion ends: `NotOnOrAfter` of its conditions.
pub fn expiry_in(xml: &str) -> Option<DateTime<Utc>> {
    let document = read_xml(xml)?;
    let (_, assertion) = document.iter().next()?;
    let (_, conditions) =
        assertion.as_object()?.iter().find(|(name, _)| name.rsplit(':').next() == Some("Conditions"))?;
    parse_date_text(conditions.get("$NotOnOrAfter")?.as_str()?)
}

impl Statement {
    /// The document, signed when there is a key.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign(&self, key: Option<&SigningKey>) -> Result<String, KeyError> {
        let (head, tail) = self.write();
        let Some(key) = key else { return Ok(format!("{head}{tail}")) };
        let digest = STANDARD.encode(Sha256::digest(format!("{head}{tail}")));
        let info = signed_info(&self.id, &digest);
        // Alone, the element declares its namespace itself.
        let canonical =
            info.replacen("<ds:SignedInfo>", &format!("<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\">"), 1);
        let value = STANDARD.encode(key.sign(canonical.as_bytes())?);
        let signature = format!(
            "<ds:Signature xmlns:ds=\"{SIGNATURE}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>"
        );
        // The schema wants it right after the issuer.
        Ok(format!("{head}{signature}{tail}"))
    }

    /// The canonical document, cut behind the issuer.
    fn write(&self) -> (String, String) {
        let now = format_millis_z(self.now);
        let mut head = format!("<saml:Assertion xmlns:saml=\"{ASSERTION}\"");
        attributes(
            &mut head,
            &[("ID", Some(&self.id)), ("IssueInstant", Some(&now)), ("Version", Some("2.0"))],
        );
        head.push('>');
        element(&mut head, "saml:Issuer", &[], &self.issuer);
        let mut tail = String::new();
        self.write_subject(&mut tail);
        self.write_conditions(&mut tail);
        self.write_statements(&mut tail);
        tail.push_str("</saml:Assertion>");
        (head, tail)
    }

    fn write_subject(&self, out: &mut String) {
        let end = format_millis_z(self.now + self.lifetime);
        let format = self.name_id_format.as_deref().unwrap_or(UNSPECIFIED_NAME);
        out.push_str("<saml:Subject>");
        element(out, "saml:NameID", &[("Format", Some(format))], &self.name_id);
        out.push_str("<saml:SubjectConfirmation");
        attributes(out, &[("Method", Some(BEARER))]);
        out.push('>');
        let data = [
            ("InResponseTo", self.in_response_to.as_deref()),
            ("NotOnOrAfter", Some(&*end)),
            ("Recipient", self.recipient.as_deref()),
        ];
        element(out, "saml:SubjectConfirmationData", &data, "");
        out.push_str("</saml:SubjectConfirmation></saml:Subject>");
    }

    fn write_conditions(&self, out: &mut String) {
        let (start, end) = (format_millis_z(self.now), format_millis_z(self.now + self.lifetime));
        out.push_str("<saml:Conditions");
        attributes(out, &[("NotBefore", Some(&start)), ("NotOnOrAfter", Some(&end))]);
        out.push('>');
        if !self.audiences.is_empty() {
            out.push_str("<saml:AudienceRestriction>");
            self.audiences.iter().for_each(|audience| element(out, "saml:Audience", &[], audience));
            out.push_str("</saml:AudienceRestriction>");
        }
        out.push_str("</saml:Conditions>");
    }

    fn write_statements(&self, out: &mut String) {
        let now = format_millis_z(self.now);
        out.push_str("<saml:AuthnStatement");
        attributes(out, &[("AuthnInstant", Some(&now)), ("SessionIndex", self.session_index.as_deref())]);
        out.push_str("><saml:AuthnContext>");
        let context = self.authn_context.as_deref().unwrap_or(UNSPECIFIED_CONTEXT);
        element(out, "saml:AuthnContextClassRef", &[], context);
        out.push_str("</saml:AuthnContext></saml:AuthnStatement>");
        if self.attributes.is_empty() {
            return;
        }
        out.push_str("<saml:AttributeStatement>");
        for (name, values) in &self.attributes {
            out.push_str("<saml:Attribute");
            attributes(out, &[("Name", Some(name))]);
            out.push('>');
            values.iter().for_each(|value| element(out, "saml:AttributeValue", &[], value));
            out.push_str("</saml:Attribute>");
        }
        out.push_str("</saml:AttributeStatement>");
    }
}

fn signed_info(id: &str, digest: &str) -> String {
    format!(
        "<ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{CANONICAL}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{RSA_SHA256}\"></ds:SignatureMethod><ds:Reference URI=\"#{id}\">\
         <ds:Transforms><ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>\
         <ds:Transform Algorithm=\"{CANONICAL}\"></ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue>\
         </ds:Reference></ds:SignedInfo>"
    )
}

fn element(out: &mut String, name: &str, pairs: &[(&str, Option<&str>)], text: &str) {
    let _ = write!(out, "<{name}");
    attributes(out, pairs);
    // Writing to a String cannot fail.
    let _ = write!(out, ">{}</{name}>", canonical_text(text));
}

/// Attributes that have a value; the caller names them in the canonical order.
fn attributes(out: &mut String, pairs: &[(&str, Option<&str>)]) {
    for (name, value) in pairs {
        if let Some(value) = value {
            let _ = write!(out, " {name}=\"{}\"", canonical_attribute(value));
        }
    }
}

/// Canonical XML, section 2.3: text nodes.
fn canonical_text(text: &str) -> String {
    let text = without_controls(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('\r', "&#xD;")
}

/// Canonical XML, section 2.3: attribute values.
fn canonical_attribute(text: &str) -> String {
    let text = without_controls(text).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    text.replace('\t', "&#x9;").replace('\n', "&#xA;").replace('\r', "&#xD;")
}

/// XML cannot carry them in any spelling.
fn without_controls(text: &str) -> String {
    let is_allowed =
        |c: &char| *c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}') || matches!(c, '\t' | '\n' | '\r');
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::signed_jwt::Algorithm;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_767_323_045_678_000_000);

    fn statement() -> Statement {
        Statement {
            id: "_1".into(),
            issuer: "a<b&c>\"\r".into(),
            name_id: "jane".into(),
            name_id_format: None,
            audiences: vec!["x".into(), "y".into()],
            recipient: Some("https://t?a=1&b=\"2\"\n>".into()),
            in_response_to: None,
            session_index: None,
            authn_context: None,
            attributes: vec![("api\u{0}Key".into(), vec!["k".into()])],
            now: NOW,
            lifetime: TimeDelta::minutes(5),
        }
    }

    #[test]
    fn the_document_is_canonical() {
        let xml = statement().sign(None).unwrap();
        assert_eq!(
            xml,
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_1\" \
             IssueInstant=\"2026-01-02T03:04:05.678Z\" Version=\"2.0\"><saml:Issuer>a&lt;b&amp;c&gt;\"&#xD;</saml:Issuer>\
             <saml:Subject><saml:NameID Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified\">jane</saml:NameID>\
             <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData \
             NotOnOrAfter=\"2026-01-02T03:09:05.678Z\" Recipient=\"https://t?a=1&amp;b=&quot;2&quot;&#xA;>\">\
             </saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions \
             NotBefore=\"2026-01-02T03:04:05.678Z\" NotOnOrAfter=\"2026-01-02T03:09:05.678Z\"><saml:AudienceRestriction>\
             <saml:Audience>x</saml:Audience><saml:Audience>y</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
             <saml:AuthnStatement AuthnInstant=\"2026-01-02T03:04:05.678Z\"><saml:AuthnContext><saml:AuthnContextClassRef>\
             urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext>\
             </saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"apiKey\"><saml:AttributeValue>k\
             </saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>"
        );
        assert_eq!(expiry_in(&xml), Some(NOW + TimeDelta::minutes(5)));
    }

    /// `tests/sdk` lets another library verify the signature.
    #[test]
    fn the_signature_stands_behind_the_issuer() {
        let pem = include_str!("../signed_jwt/testdata/rsa_pkcs8.pem");
        let key = SigningKey::private(pem, Algorithm::Rs256).unwrap();
        let xml = statement().sign(Some(&key)).unwrap();
        assert!(xml.contains("</saml:Issuer><ds:Signature xmlns:ds=") && xml.contains("URI=\"#_1\""));
        assert!(xml.contains("</ds:Signature><saml:Subject>"));
        assert_eq!(expiry_in(&xml), Some(NOW + TimeDelta::minutes(5)));
    }

    #[test]
    fn ids_are_names() {
        for (text, expected) in [("1a-b", "_1a-b"), ("_x", "_x"), ("a b\"<", "ab"), ("", "_")] {
            assert_eq!(xml_id(text), expected);
        }
    }
}
