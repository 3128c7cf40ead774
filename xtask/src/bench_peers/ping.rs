//! One record to a broker that may not be up yet: when is the first one acknowledged?
//!
//! The request is written byte by byte, so that no client's start is measured along.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Between two attempts; a broker that starts in 50 ms is timed to 2 %.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// An answer that takes longer is asked for again.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that can be expected.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Produces until a record is acknowledged.
///
/// # Errors
/// That none was within the time.
pub(super) fn first_acknowledged(
    address: SocketAddr,
    topic: &str,
    within: Duration,
) -> Result<(), String> {
    let request = request(topic)?;
    let begin = Instant::now();
    while begin.elapsed() < within {
        if attempt(address, &request, topic).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(RETRY_INTERVAL);
    }
    Err(format!("{address} acknowledged nothing within {} s", within.as_secs()))
}

fn attempt(address: SocketAddr, request: &[u8], topic: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Ok(false);
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    // Correlation id, one topic, its name, one partition and its number stand before the code.
    let code_at = 4 + 4 + 2 + topic.len() + 4 + 4;
    Ok(answer.get(code_at..code_at + 2) == Some(&[0, 0]))
}

/// A Produce request of version 3 with one record for partition 0, acknowledged by all.
fn request(topic: &str) -> Result<Vec<u8>, String> {
    let text = |text: &str| -> Result<Vec<u8>, String> {
        let length = u16::try_from(text.len()).map_err(|error| error.to_string())?;
        Ok([&length.to_be_bytes(), text.as_bytes()].concat())
    };
    let batch = batch()?;
    let body = [
        [0, 0, 0, 3, 0, 0, 0, 1].as_slice(),
        &text("peers")?,
        // No transaction, all replicas, 30 s, one topic.
        &[0xff, 0xff, 0xff, 0xff, 0, 0, 0x75, 0x30, 0, 0, 0, 1],
        &text(topic)?,
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &length(&batch)?,
        &batch,
    ]
    .concat();
    Ok([length(&body)?.as_slice(), &body].concat())
}

fn length(bytes: &[u8]) -> Result<[u8; 4], String> {
    u32::try_from(bytes.len()).map(u32::to_be_bytes).map_err(|error| error.to_string())
}

/// A batch with one record without a key, whose value is `peers`.
fn batch() -> Result<Vec<u8>, String> {
    // Length 11, no attributes, deltas of 0, no key, a value of 5 bytes, no headers.
    let record = [b"\x16\0\0\0\x01\x0apeers".as_slice(), &[0]].concat();
    let time_ms = 1_700_000_000_000_u64.to_be_bytes();
    let checked = [
        [0_u8; 6].as_slice(),
        &time_ms,
        &time_ms,
        // Neither producer nor epoch nor sequence; one record.
        &[0xff; 14],
        &[0, 0, 0, 1],
        &record,
    ]
    .concat();
    // Leader's epoch, magic, checksum.
    let crc = crc32c(&checked).to_be_bytes();
    let rest = [[0xff, 0xff, 0xff, 0xff, 2].as_slice(), &crc, &checked].concat();
    Ok([[0; 8].as_slice(), &length(&rest)?, &rest].concat())
}

/// Castagnoli's checksum, bit by bit: it is taken once.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = 0_u32.wrapping_sub(crc & 1);
            crc = (crc >> 1) ^ (0x82f6_3b78 & mask);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_request_says_how_long_it_is() {
        let request = request("start").unwrap();
        let said = u32::from_be_bytes(request[..4].try_into().unwrap());
        assert_eq!(usize::try_from(said).unwrap() + 4, request.len());
        // Eleven bytes of a record follow its length.
        assert!(batch().unwrap().ends_with(b"peers\0"));
        assert_eq!(batch().unwrap().len(), 61 + 1 + 11);
    }
}
