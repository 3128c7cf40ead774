//! Lots and orders as records of their topics.
//!
//! ```text
//! key    u8 format = 1 | u16 virtual shard | u16 length | place | the record's key
//! lot    u8 version = 1 | u8 is leaving | u64 first | u64 next | i32 partition | i64 from | reason
//!        none: the key is not parked any more
//! order  u8 version = 1 | u64 first | u64 next
//! ```
//!
//! Numbers are big-endian. The layout is pinned by golden bytes.

use super::{Lot, Order, Place};
use state::store::shard_of;

const FORMAT: u8 = 1;
const LOT_VERSION: u8 = 1;
const ORDER_VERSION: u8 = 1;
const PLACE_AT: usize = 5;
const LOT_BYTES: usize = 30;
const ORDER_BYTES: usize = 17;

/// Writes the key under which a lot is known.
pub(crate) fn write_key(out: &mut Vec<u8>, place: Place<'_>, key: &[u8]) {
    out.clear();
    out.push(FORMAT);
    out.extend_from_slice(&shard_of(key).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(place.to_string().as_bytes());
    let length = u16::try_from(out.len() - PLACE_AT).expect("two names are shorter than 65 KiB");
    out[3..PLACE_AT].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(key);
}

/// The place and the record's key in the key of a lot; `None` for foreign bytes.
pub(crate) fn split_key(name: &[u8]) -> Option<(&str, &[u8])> {
    let [FORMAT, _, _, high, low, rest @ ..] = name else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (place, key) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(place).ok()?, key))
}

/// The value of a lot.
pub(crate) fn write_lot(out: &mut Vec<u8>, lot: &Lot) {
    out.clear();
    out.extend_from_slice(&[LOT_VERSION, u8::from(lot.is_leaving)]);
    out.extend_from_slice(&lot.first.to_be_bytes());
    out.extend_from_slice(&lot.next.to_be_bytes());
    out.extend_from_slice(&lot.partition.to_be_bytes());
    out.extend_from_slice(&lot.from.to_be_bytes());
    out.extend_from_slice(lot.reason.as_bytes());
}

/// Reads the value of a lot; `None` for foreign bytes.
pub(crate) fn read_lot(value: &[u8]) -> Option<Lot> {
    let (fixed, reason) = value.split_at_checked(LOT_BYTES)?;
    let [LOT_VERSION, is_leaving, numbers @ ..] = fixed else {
        return None;
    };
    let long = |from: usize| numbers.get(from..)?.first_chunk::<8>();
    Some(Lot {
        first: u64::from_be_bytes(*long(0)?),
        next: u64::from_be_bytes(*long(8)?),
        partition: i32::from_be_bytes(*numbers.get(16..)?.first_chunk()?),
        from: i64::from_be_bytes(*long(20)?),
        is_leaving: *is_leaving != 0,
        reason: String::from_utf8_lossy(reason).into_owned(),
    })
}

/// The value of an order.
pub(crate) fn write_order(order: Order) -> [u8; ORDER_BYTES] {
    let mut bytes = [ORDER_VERSION; ORDER_BYTES];
    bytes[1..9].copy_from_slice(&order.first.to_be_bytes());
    bytes[9..].copy_from_slice(&order.next.to_be_bytes());
    bytes
}

/// Reads the value of an order; `None` for foreign bytes.
pub(crate) fn read_order(value: &[u8]) -> Option<Order> {
    let fixed = <[u8; ORDER_BYTES]>::try_from(value).ok()?;
    let [ORDER_VERSION, numbers @ ..] = fixed else {
        return None;
    };
    let number = |from: usize| numbers.get(from..)?.first_chunk::<8>();
    let (first, next) = (u64::from_be_bytes(*number(0)?), u64::from_be_bytes(*number(8)?));
    Some(Order { first, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_lots_and_orders_are_pinned() {
        let mut key = Vec::new();
        write_key(&mut key, Place::way("a", "b"), b"21");
        assert_eq!(key, b"\x01\x00\xec\x00\x04a->b21");
        assert_eq!(split_key(&key), Some(("a->b", &b"21"[..])));
        let reason = "no number".to_owned();
        let lot = Lot { first: 1, next: 258, partition: 3, from: 7, is_leaving: true, reason };
        let mut value = Vec::new();
        write_lot(&mut value, &lot);
        let expected = b"\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01\x02\0\0\0\x03\
                         \0\0\0\0\0\0\0\x07no number";
        assert_eq!(value, expected);
        assert_eq!(read_lot(&value), Some(lot));
        let order = Order { first: 1, next: 2 };
        let bytes = write_order(order);
        assert_eq!(bytes, *b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(read_order(&bytes), Some(order));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for key in
            [&b""[..], b"\x02\0\0\0\0", b"\x01\0\0\0", b"\x01\0\0\0\x02a", b"\x01\0\0\0\x01\xff"]
        {
            assert_eq!(split_key(key), None, "{key:?}");
        }
        assert_eq!((read_lot(b""), read_lot(&[2; LOT_BYTES])), (None, None));
        assert_eq!((read_order(b""), read_order(&[2; ORDER_BYTES])), (None, None));
    }
}
