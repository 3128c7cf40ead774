//! Consumer groups: who reads which partition, and how far.
//!
//! [`machine`] decides, [`service`] keeps the machine's time, writes what it wants written to
//! `__consumer_offsets` and carries the answers back.

pub(crate) mod classic;
pub(crate) mod join;
pub(crate) mod leave;
mod load;
pub(crate) mod machine;
#[cfg(test)]
mod machine_test;
pub(crate) mod offsets;
pub(crate) mod records;
pub(crate) mod service;
pub(crate) mod sync;
pub(crate) mod view;

/// The partition of an internal topic that a name belongs to: Java's `hashCode` of the name,
/// without its sign, modulo the number of partitions, because every client computes the same.
pub(crate) fn partition_for(name: &str, partitions: i32) -> i32 {
    let hash = name.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit.cast_signed()) & 0xffff)
    });
    (hash & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    #[test]
    fn groups_fall_where_java_puts_them() {
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("a", 50), 97 % 50);
        assert_eq!(partition_for("ab", 50), (97 * 31 + 98) % 50);
    }
}
