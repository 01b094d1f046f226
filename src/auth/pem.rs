//! PEM as people paste it, made PEM again (`spec` auth-flows, section 6.3; RFC 7468). Pure. Text that holds no base64 comes
//! out as text that no reader takes, so that the reader's refusal is the only one.

use zeroize::Zeroizing;

const COLUMNS: usize = 64;

/// One or more certificates.
pub fn certificates(text: &str) -> String {
    blocks(text, "CERTIFICATE").to_string()
}

/// A private key; of PKCS#8 when the text does not say.
pub fn private_key(text: &str) -> Zeroizing<String> {
    blocks(text, "PRIVATE KEY")
}

/// The blocks of the text with whole lines; a text without labels is one block of this label.
fn blocks(text: &str, label: &str) -> Zeroizing<String> {
    let text = Zeroizing::new(text.replace("\\n", "\n").replace("\\r", ""));
    let mut result = Zeroizing::new(String::with_capacity(text.len() + 128));
    let mut current = label;
    for piece in text.split("-----") {
        let piece = piece.trim();
        match piece.strip_prefix("BEGIN ") {
            Some(named) => current = named.trim(),
            None if piece.is_empty() || piece.starts_with("END ") => {}
            None => add_block(&mut result, current, piece),
        }
    }
    result
}

fn add_block(result: &mut String, label: &str, body: &str) {
    result.push_str("-----BEGIN ");
    result.push_str(label);
    result.push_str("-----");
    for (index, character) in body.chars().filter(|c| !c.is_whitespace()).enumerate() {
        if index % COLUMNS == 0 {
            result.push('\n');
        }
        result.push(character);
    }
    result.push_str("\n-----END ");
    result.push_str(label);
    result.push_str("-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn pasted_certificates_become_whole_again() {
        for text in [
            WHOLE,
            "AAAA",
            "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----",
            "  -----BEGIN CERTIFICATE----- AA AA -----END CERTIFICATE-----  ",
            "-----BEGIN CERTIFICATE-----\r\nAA\r\nAA\r\n-----END CERTIFICATE-----\r\n",
        ] {
            assert_eq!(certificates(text), WHOLE, "{text}");
        }
        assert_eq!(certificates(&WHOLE.repeat(2)), WHOLE.repeat(2));
        let long = certificates(&"A".repeat(100));
        assert_eq!(long.lines().map(str::len).collect::<Vec<_>>(), [27, 64, 36, 25]);
        assert_eq!(certificates(" "), "");
    }

    #[test]
    fn keys_keep_their_kind() {
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(*private_key(&rsa.replace('\n', "\\n")), rsa);
        assert_eq!(*private_key("AAAA"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    }
}
