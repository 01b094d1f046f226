//! The source of randomness: a secure generator in production, a seeded one in tests.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

/// Random bytes for keys, tokens, nonces and ids.
#[derive(Clone)]
pub enum Rng {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Rng {
    /// A reproducible generator for tests. Never for production: its output can be predicted.
    pub fn seeded(seed: u64) -> Self {
        Rng::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Fills `target` with random bytes: of a cryptographically secure generator of this thread, which the operating
    /// system seeds again and again. Asking the system for each request id would cost a system call.
    #[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
    pub fn fill(&self, target: &mut [u8]) {
        match self {
            Rng::System => rand::rng().fill_bytes(target),
            Rng::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(target),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `bytes` random bytes as lower-case hexadecimal text.
    pub fn hex(&self, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        self.fill(&mut buffer);
        hex::encode(buffer)
    }

    /// A random UUID v4.
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// `length` characters of `[a-zA-Z0-9]`, for ids that people copy.
    pub fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(length);
        while text.len() < length {
            // Values of 248 and above would make the first letters more likely.
            let drawn = self.bytes::<32>().into_iter().filter(|byte| *byte < 248);
            text.extend(drawn.take(length - text.len()).map(|byte| ALPHABET[usize::from(byte) % 62] as char));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_generator_repeats_itself() {
        assert_eq!(Rng::seeded(7).uuid(), Rng::seeded(7).uuid());
        assert_ne!(Rng::seeded(7).uuid(), Rng::seeded(8).uuid());
    }

    #[test]
    fn uuids_are_version_four() {
        assert_eq!(Rng::System.uuid().get_version_num(), 4);
    }

    #[test]
    fn alphanumeric_text_has_the_asked_length() {
        for length in [0, 1, 8, 100] {
            let text = Rng::System.alphanumeric(length);
            assert_eq!(text.len(), length);
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }
}
