//! Private keys as people paste them (`spec` auth-flows, section 6.3), and what is signed with them. Pure, apart from the
//! randomness that the signatures themselves need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use p521::ecdsa::Signature as P521Signature;
use p521::ecdsa::SigningKey as P521Key;
use p521::ecdsa::signature::Signer;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use zeroize::Zeroizing;

/// Layers of base64 that are taken off: some providers hand out the base64 of a PEM file.
const DEEPEST: usize = 3;
/// Names of curves as DER (RFC 5480, section 2.1.1.1).
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// Bytes of a private key on P-521.
const P521_SIZE: usize = 66;

/// Why a key cannot be used. Never repeats the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the private key is neither PEM nor base64")]
    NotAKey,
    #[error("the private key is encrypted with a passphrase; paste it without one")]
    Encrypted,
    #[error("the key is a certificate or a public key; the private key is needed")]
    Public,
    #[error("the private key does not fit the algorithm {0}")]
    WrongKind(Algorithm),
    #[error("the HMAC key is not hexadecimal text")]
    NotHex,
    #[error("the private key cannot sign")]
    CannotSign,
}

/// An `alg` of RFC 7518 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    const NAMES: [(Algorithm, &'static str); 13] = [
        (Algorithm::Hs256, "HS256"),
        (Algorithm::Hs384, "HS384"),
        (Algorithm::Hs512, "HS512"),
        (Algorithm::Rs256, "RS256"),
        (Algorithm::Rs384, "RS384"),
        (Algorithm::Rs512, "RS512"),
        (Algorithm::Ps256, "PS256"),
        (Algorithm::Ps384, "PS384"),
        (Algorithm::Ps512, "PS512"),
        (Algorithm::Es256, "ES256"),
        (Algorithm::Es384, "ES384"),
        (Algorithm::Es512, "ES512"),
        (Algorithm::EdDsa, "EdDSA"),
    ];

    /// The algorithm of that name; `none` is not one.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(algorithm, _)| *algorithm)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Algorithm::Rs256 => Some(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => Some(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => Some(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => Some(&RSA_PSS_SHA256),
            Algorithm::Ps384 => Some(&RSA_PSS_SHA384),
            Algorithm::Ps512 => Some(&RSA_PSS_SHA512),
            _ => None,
        }
    }

    fn elliptic(self) -> Option<(&'static EcdsaSigningAlgorithm, usize)> {
        match self {
            Algorithm::Es256 => Some((&ECDSA_P256_SHA256_FIXED_SIGNING, 32)),
            Algorithm::Es384 => Some((&ECDSA_P384_SHA384_FIXED_SIGNING, 48)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A key for one algorithm. Deliberately without `Debug`.
pub struct SigningKey(Kind);

enum Kind {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Elliptic(Box<EcdsaKeyPair>),
    P521(Box<P521Key>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// A shared secret of raw bytes.
    pub fn shared(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let hmac = algorithm.hmac().ok_or(KeyError::WrongKind(algorithm))?;
        Ok(SigningKey(Kind::Hmac(hmac::Key::new(hmac, secret))))
    }

    /// A private key in PEM (PKCS#1, SEC1 or PKCS#8, however its lines were mangled), or the base64 of its DER or of its PEM.
    pub fn private(text: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        let der = der(text, 0)?;
        if let Some(encoding) = algorithm.rsa() {
            let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
            let pair = pair.map_err(|_| KeyError::WrongKind(algorithm))?;
            return Ok(SigningKey(Kind::Rsa(Box::new(pair), encoding)));
        }
        if let Some((curve, size)) = algorithm.elliptic() {
            let pair = elliptic(curve, size, &der).ok_or(KeyError::WrongKind(algorithm))?;
            return Ok(SigningKey(Kind::Elliptic(Box::new(pair))));
        }
        if algorithm == Algorithm::Es512 {
            let key = p521_key(&der).ok_or(KeyError::WrongKind(algorithm))?;
            return Ok(SigningKey(Kind::P521(Box::new(key))));
        }
        if algorithm == Algorithm::EdDsa {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
            let pair = pair.map_err(|_| KeyError::WrongKind(algorithm))?;
            return Ok(SigningKey(Kind::Ed25519(Box::new(pair))));
        }
        Err(KeyError::WrongKind(algorithm))
    }

    /// The signature as JWS wants it (RFC 7518, section 3).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.0 {
            Kind::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Kind::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(*encoding, &random, message, &mut signature);
                signed.map(|()| signature).map_err(|_| KeyError::CannotSign)
            }
            Kind::Elliptic(pair) => {
                let signed = pair.sign(&random, message).map_err(|_| KeyError::CannotSign)?;
                Ok(signed.as_ref().to_vec())
            }
            Kind::P521(key) => {
                let signed: P521Signature = key.try_sign(message).map_err(|_| KeyError::CannotSign)?;
                Ok(signed.to_bytes().to_vec())
            }
            Kind::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn der(text: &str, depth: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    refuse_other_blocks(&text)?;
    let body = text.split("-----").find(|piece| !piece.trim().is_empty() && !is_label(piece));
    // Encrypted keys are refused above; other header lines may stand before the base64 (RFC 1421).
    let lines = body.unwrap_or_default().lines().filter(|line| !line.contains(':'));
    let packed: Zeroizing<String> = Zeroizing::new(lines.flat_map(str::split_whitespace).collect());
    let unpadded = packed.trim_end_matches('=').as_bytes();
    let decoded = STANDARD_NO_PAD.decode(unpadded).map(Zeroizing::new).map_err(|_| KeyError::NotAKey)?;
    const SEQUENCE: u8 = 0x30;
    match decoded.first() {
        None => Err(KeyError::NotAKey),
        // "0" begins text too, but no PEM and no base64 of a key does.
        Some(&SEQUENCE) => Ok(decoded),
        Some(_) if depth < DEEPEST => {
            let inner = std::str::from_utf8(&decoded).map_err(|_| KeyError::NotAKey)?;
            der(inner, depth + 1)
        }
        Some(_) => Err(KeyError::NotAKey),
    }
}

fn refuse_other_blocks(text: &str) -> Result<(), KeyError> {
    if text.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let is_other = text.contains("-----BEGIN CERTIFICATE") || text.contains("PUBLIC KEY-----");
    if is_other { Err(KeyError::Public) } else { Ok(()) }
}

fn is_label(piece: &str) -> bool {
    piece.starts_with("BEGIN ") || piece.starts_with("END ")
}

fn elliptic(curve: &'static EcdsaSigningAlgorithm, size: usize, der: &[u8]) -> Option<EcdsaKeyPair> {
    let random = SystemRandom::new();
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der, &random) {
        return Some(pair);
    }
    let (private, public) = sec1(unwrap_pkcs8(der).unwrap_or(der))?;
    let private = padded(private, size)?;
    let public = match public {
        Some(public) => public.to_vec(),
        None => public_half(size, &private, der)?,
    };
    EcdsaKeyPair::from_private_key_and_public_key(curve, &private, &public, &random).ok()
}

/// The public half of a key that came without it. Only the name of its curve says which one the number belongs to.
fn public_half(size: usize, private: &[u8], der: &[u8]) -> Option<Vec<u8>> {
    match size {
        32 if names(der, P256) => {
            let key = p256::SecretKey::from_slice(private).ok()?;
            Some(key.public_key().to_sec1_point(false).as_bytes().to_vec())
        }
        48 if names(der, P384) => {
            let key = p384::SecretKey::from_slice(private).ok()?;
            Some(key.public_key().to_sec1_point(false).as_bytes().to_vec())
        }
        _ => None,
    }
}

/// A key on P-521, which ring does not know. The public half is not looked at: it follows from the private one.
fn p521_key(der: &[u8]) -> Option<P521Key> {
    if !names(der, P521) {
        return None;
    }
    let (private, _) = sec1(unwrap_pkcs8(der).unwrap_or(der))?;
    P521Key::from_slice(&padded(private, P521_SIZE)?).ok()
}

fn names(der: &[u8], curve: &[u8]) -> bool {
    der.windows(curve.len()).any(|window| window == curve)
}

/// A number in its whole length: some writers drop leading zeros.
fn padded(number: &[u8], size: usize) -> Option<Zeroizing<Vec<u8>>> {
    let missing = size.checked_sub(number.len())?;
    Some(Zeroizing::new([&vec![0; missing], number].concat()))
}

/// The key inside PKCS#8 (RFC 5958, section 2): SEQUENCE { 0, SEQUENCE { algorithm }, OCTET STRING }.
fn unwrap_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let (content, _) = element(der, 0x30)?;
    let (_, rest) = element(content, 0x02)?;
    let (_, rest) = element(rest, 0x30)?;
    Some(element(rest, 0x04)?.0)
}

/// The halves of an `ECPrivateKey` (RFC 5915, section 3): SEQUENCE { 1, OCTET STRING, [0] curve, [1] BIT STRING }, where the
/// last two may be missing.
fn sec1(der: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (content, _) = element(der, 0x30)?;
    let (_, rest) = element(content, 0x02)?;
    let (private, mut rest) = element(rest, 0x04)?;
    if let Some((_, after)) = element(rest, 0xa0) {
        rest = after;
    }
    let Some((wrapped, _)) = element(rest, 0xa1) else { return Some((private, None)) };
    let (bits, _) = element(wrapped, 0x03)?;
    Some((private, Some(bits.strip_prefix(&[0])?)))
}

/// The content of the DER element at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short if *short < 0x80 => (usize::from(*short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    (*first == tag).then_some(())?;
    Some((rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, KeyPair, UnparsedPublicKey};

    use super::*;

    /// Test keys, the same one in two wrappings; nothing trusts them.
    const EC_PKCS8: &str = include_str!("testdata/ec_pkcs8.pem");
    const EC_SEC1: &str = include_str!("testdata/ec_sec1.pem");
    const EC_SEC1_BARE: &str = include_str!("testdata/ec_sec1_bare.pem");
    const EC_PKCS8_BARE: &str = include_str!("testdata/ec_pkcs8_bare.pem");
    const EC384_BARE: &str = include_str!("testdata/ec384_bare.pem");
    const EC384_PUBLIC: &str = include_str!("testdata/ec384_public.hex");
    const EC521: &str = include_str!("testdata/ec521_rfc6979.pem");
    const EC521_BARE: &str = include_str!("testdata/ec521_rfc6979_bare.pem");
    const RSA_PKCS1: &str = include_str!("testdata/rsa_pkcs1.pem");
    const RSA_PKCS8: &str = include_str!("testdata/rsa_pkcs8.pem");

    fn signature(key: &str, algorithm: Algorithm) -> Result<String, KeyError> {
        Ok(hex::encode(SigningKey::private(key, algorithm)?.sign(b"message")?))
    }

    #[test]
    fn rsa_keys_sign_alike_in_every_wrapping() {
        let expected = signature(RSA_PKCS8, Algorithm::Rs256).unwrap();
        let one_line = RSA_PKCS8.trim().replace('\n', "\\n");
        let windows = RSA_PKCS1.replace('\n', "\r\n");
        let spaced = RSA_PKCS8.replace('\n', " ");
        let bare: String = RSA_PKCS8.lines().filter(|line| !line.starts_with("---")).collect();
        let twice = STANDARD.encode(RSA_PKCS8);
        let bare_twice = STANDARD.encode(&bare);
        for (name, key) in [
            ("PKCS#1", RSA_PKCS1),
            ("literal \\n", &one_line),
            ("CRLF", &windows),
            ("spaces for lines", &spaced),
            ("no label", &bare),
            ("base64 of PEM", &twice),
            ("base64 of base64", &bare_twice),
        ] {
            assert_eq!(signature(key, Algorithm::Rs256).as_ref(), Ok(&expected), "{name}");
        }
        assert_ne!(signature(RSA_PKCS8, Algorithm::Rs512).unwrap(), expected);
        assert_ne!(signature(RSA_PKCS8, Algorithm::Ps256), signature(RSA_PKCS8, Algorithm::Ps256));
    }

    #[test]
    fn elliptic_keys_sign_in_both_wrappings() {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &der(EC_PKCS8, 0).unwrap(),
            &SystemRandom::new(),
        )
        .unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key());
        for key in [EC_PKCS8, EC_SEC1] {
            let signed = SigningKey::private(key, Algorithm::Es256).unwrap().sign(b"message").unwrap();
            public.verify(b"message", &signed).unwrap();
        }
    }

    /// Written by OpenSSL with `-conv_form` and `no_public`: the same keys with and without their public half.
    #[test]
    fn elliptic_keys_need_not_have_their_public_half() {
        for (key, curve, verify, algorithm) in [
            (EC_SEC1_BARE, &ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED, Algorithm::Es256),
            (EC_PKCS8_BARE, &ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED, Algorithm::Es256),
        ] {
            let whole =
                EcdsaKeyPair::from_pkcs8(curve, &der(EC_PKCS8, 0).unwrap(), &SystemRandom::new()).unwrap();
            let signed = SigningKey::private(key, algorithm).unwrap().sign(b"message").unwrap();
            UnparsedPublicKey::new(verify, whole.public_key()).verify(b"message", &signed).unwrap();
            assert_eq!(signature(key, Algorithm::Es384).err(), Some(KeyError::WrongKind(Algorithm::Es384)));
        }
        let signed = SigningKey::private(EC384_BARE, Algorithm::Es384).unwrap().sign(b"message").unwrap();
        let public = hex::decode(EC384_PUBLIC.trim()).unwrap();
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(b"message", &signed).unwrap();
    }

    /// The key of RFC 6979, section A.2.7, and its signature of "sample" with SHA-512: signatures are made as section 3.2 says.
    #[test]
    fn es512_signs_as_published() {
        let expected = "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931\
                        d7d4e8455cc91f9b15bf05ec36e377fa00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af28\
                        2623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a";
        for key in [EC521, EC521_BARE] {
            let signed = SigningKey::private(key, Algorithm::Es512).unwrap().sign(b"sample").unwrap();
            assert_eq!(hex::encode(signed), expected);
            for other in [Algorithm::Es256, Algorithm::Es384] {
                assert_eq!(signature(key, other), Err(KeyError::WrongKind(other)));
            }
        }
        for other in [EC_PKCS8, EC_SEC1_BARE, EC384_BARE, RSA_PKCS8] {
            assert_eq!(signature(other, Algorithm::Es512), Err(KeyError::WrongKind(Algorithm::Es512)));
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn shared_secrets_sign_as_published() {
        let key = SigningKey::shared(b"Jefe", Algorithm::Hs256).unwrap();
        assert_eq!(
            hex::encode(key.sign(b"what do ya want for nothing?").unwrap()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            SigningKey::shared(b"k", Algorithm::Rs256).err(),
            Some(KeyError::WrongKind(Algorithm::Rs256))
        );
    }

    #[test]
    fn unusable_keys_say_what_is_wrong_and_are_not_repeated() {
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----";
        let public = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----";
        for (key, algorithm, expected) in [
            ("", Algorithm::Rs256, KeyError::NotAKey),
            ("s3cret!", Algorithm::Rs256, KeyError::NotAKey),
            ("c2VjcmV0", Algorithm::Rs256, KeyError::NotAKey),
            (encrypted, Algorithm::Rs256, KeyError::Encrypted),
            (public, Algorithm::Rs256, KeyError::Public),
            (EC_PKCS8, Algorithm::Rs256, KeyError::WrongKind(Algorithm::Rs256)),
            (RSA_PKCS8, Algorithm::Es256, KeyError::WrongKind(Algorithm::Es256)),
            (EC_SEC1, Algorithm::Es384, KeyError::WrongKind(Algorithm::Es384)),
            (RSA_PKCS8, Algorithm::EdDsa, KeyError::WrongKind(Algorithm::EdDsa)),
            (RSA_PKCS8, Algorithm::Hs256, KeyError::WrongKind(Algorithm::Hs256)),
            ("MAA=", Algorithm::Es256, KeyError::WrongKind(Algorithm::Es256)),
        ] {
            let error = signature(key, algorithm).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn algorithms_have_their_names() {
        for (algorithm, name) in Algorithm::NAMES {
            assert_eq!((Algorithm::named(name), algorithm.name()), (Some(algorithm), name));
        }
        assert_eq!(Algorithm::named("none"), None);
    }
}
