//! Which partition a key belongs to, exactly as Kafka decides it.
//!
//! Every producer of a topic must agree, or the records of one key would lie in two partitions
//! and lose their order. So this is Java's murmur2 with Java's seed, bit for bit. Names of groups
//! and transactional ids have a rule of their own, by which tools find them.

use base::cast;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const ROTATION: u32 = 24;

/// Java's `Utils.murmur2`.
///
/// # Panics
/// When `bytes` is longer than `u32::MAX`, which no record can be.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> i32 {
    let mut hash = SEED ^ cast::u32_of(bytes.len());
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> ROTATION;
        mixed = mixed.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    if !tail.is_empty() {
        for (index, byte) in (0_u32..).zip(tail) {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^= hash >> 15;
    cast::bits_i32(hash)
}

/// Java's `Utils.toPositive`: clears the sign bit, which is not the absolute value.
#[must_use]
pub const fn to_positive(number: i32) -> i32 {
    number & i32::MAX
}

/// The partition of `key` in a topic of `partitions` partitions, from 0.
///
/// # Panics
/// When `partitions` is not positive: a topic has at least one.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    to_positive(murmur2(key)) % partitions
}

/// The partition of `__consumer_offsets` that keeps a group, or of `__transaction_state` that
/// keeps a transactional id, from 0: Java's `hashCode` of the name without its minus sign, where
/// the one number that has no counterpart counts as 0 (Kafka's `Utils.abs`).
///
/// # Panics
/// When `partitions` is not positive: a topic has at least one.
#[must_use]
pub fn partition_for_name(name: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = name.encode_utf16().fold(0, step);
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    /// What `Utils.abs(name.hashCode()) % partitions` of Kafka 4.3 gives for 50 and 7 partitions.
    #[test]
    fn names_lie_where_kafka_puts_them() {
        let cases = [
            ("", 0, 0),
            ("a", 47, 6),
            ("console-consumer-1", 24, 2),
            ("gr\u{fc}\u{df}e", 23, 4),
            ("\u{1f600}", 49, 2),
            // Negative hashes.
            ("orders", 31, 2),
            ("billing", 9, 6),
            ("my-group", 12, 1),
            ("pipeline-0", 25, 3),
            ("machine-health", 34, 0),
            ("counts", 48, 4),
            // The hash is -2147483648.
            ("polygenelubricants", 0, 0),
        ];
        for (name, of_50, of_7) in cases {
            let found = (partition_for_name(name, 50), partition_for_name(name, 7));
            assert_eq!(found, (of_50, of_7), "{name}");
        }
    }

    #[test]
    fn partitions_are_never_negative() {
        assert_eq!(to_positive(-1), i32::MAX);
        assert_eq!(to_positive(i32::MIN), 0);
        assert_eq!(partition_for_key(b"21", 1), 0);
        for partitions in [1, 2, 3, 50, i32::MAX] {
            let partition = partition_for_key(b"21", partitions);
            assert!((0..partitions).contains(&partition));
        }
    }
}
