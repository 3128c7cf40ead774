//! 128-bit ids, written as Kafka writes them: 22 characters of URL-safe base64.

use std::fmt;
use std::str::FromStr;

use crate::rng::Random;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

/// A 128-bit id; all zero means "none", as on Kafka's wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The id that stands for none.
    pub const ZERO: Self = Self([0; 16]);

    /// A random id of version 4 whose text does not start with a dash, so that it can be given
    /// to a command line (Kafka's `Uuid.randomUuid` takes the same care).
    #[must_use]
    pub fn random(rng: &dyn Random) -> Self {
        let high = rng.next_u64().to_be_bytes();
        let low = rng.next_u64().to_be_bytes();
        let mut bytes = [0u8; 16];
        let (left, right) = bytes.split_at_mut(8);
        left.copy_from_slice(&high);
        right.copy_from_slice(&low);
        // The first character holds the upper six bits; 62 is the dash.
        if bytes[0] >> 2 == 62 {
            bytes[0] &= 0x7f;
        }
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Whether this stands for none.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for at in 0..TEXT_LEN {
            // 128 bits are 21 whole characters and two bits, which base64 pads on the right.
            let six = if at < 21 { (value >> (122 - 6 * at)) & 63 } else { (value & 3) << 4 };
            let index = usize::try_from(six).expect("six bits fit any integer");
            write!(f, "{}", char::from(ALPHABET[index]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no id of 22 base64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id has 22 characters of A-Z a-z 0-9 - _")
    }
}

impl std::error::Error for InvalidUuid {}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        if text.len() != TEXT_LEN {
            return Err(InvalidUuid);
        }
        let mut value: u128 = 0;
        for (at, byte) in text.bytes().enumerate() {
            let six = ALPHABET.iter().position(|letter| *letter == byte).ok_or(InvalidUuid)?;
            let six = u128::try_from(six).map_err(|_| InvalidUuid)?;
            if at < 21 {
                value = value << 6 | six;
            } else if six & 15 == 0 {
                value = value << 2 | six >> 4;
            } else {
                return Err(InvalidUuid);
            }
        }
        Ok(Self(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRandom;

    #[test]
    fn text_and_bytes_agree_with_kafka() {
        // Kafka prints its METADATA_TOPIC_ID, the number one, as AAAAAAAAAAAAAAAAAAAAAQ.
        let mut one = [0u8; 16];
        one[15] = 1;
        assert_eq!(Uuid(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(Uuid(one)));
    }

    #[test]
    fn random_ids_survive_the_way_through_text() {
        let rng = SeededRandom::new(1);
        for _ in 0..1000 {
            let id = Uuid::random(&rng);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(!id.to_string().starts_with('-'));
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(text.parse::<Uuid>(), Err(InvalidUuid), "{text}");
        }
    }
}
