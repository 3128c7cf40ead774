//! Names and layout on disk; `LAYOUT.md` beside this crate describes them for people.

use std::path::{Path, PathBuf};

use base::disk::{DirEntry, Disk};

use crate::error::Error;

/// Version of the whole layout. Raised when an older program could misread a folder.
pub const FORMAT_VERSION: u32 = 3;

pub(crate) const META_FILE: &str = "meta.properties";
pub(crate) const CLEAN_FILE: &str = ".kafka_cleanshutdown";
pub(crate) const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_START_FILE: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
pub(crate) const CLEANER_FILE: &str = "cleaner-offset-checkpoint";
pub(crate) const EPOCH_FILE: &str = "leader-epoch-checkpoint";
/// Ours, not Kafka's: what the transaction indexes must hold, because they carry no checksum.
pub(crate) const ABORTED_FILE: &str = "aborted-checkpoint";
/// Ours, not Kafka's: the batches of small rounds, until their logs' own files are flushed.
pub(crate) const JOURNAL_FILE: &str = "round-journal";
pub(crate) const PARTITION_FILE: &str = "partition.metadata";

pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
pub(crate) const SNAPSHOT: &str = "snapshot";

/// Suffix of files that are only waiting to be unlinked.
pub(crate) const DELETED: &str = "deleted";
/// Suffix of a cleaned segment that is not whole yet.
pub(crate) const CLEANED: &str = "cleaned";
/// Suffix of a cleaned segment that is whole and replaces the ones it was made from.
pub(crate) const SWAP: &str = "swap";
/// Suffix of folders that are only waiting to be unlinked.
pub(crate) const FOLDER_DELETED: &str = "-delete";

/// The path of a log's file that starts with this offset.
pub(crate) fn file(dir: &Path, offset: i64, kind: &str) -> PathBuf {
    dir.join(format!("{offset:020}.{kind}"))
}

/// The path with one more suffix.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// The offset in a file name of the given kind; none when it is another file.
pub(crate) fn offset_of(name: &str, kind: &str) -> Option<i64> {
    let (digits, rest) = name.split_at_checked(20)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits || rest.strip_prefix('.') != Some(kind) {
        return None;
    }
    digits.parse().ok()
}

/// Whether a folder may be that of a log.
pub(crate) fn is_log_name(name: &str) -> bool {
    let Some((topic, partition)) = name.rsplit_once('-') else { return false };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !topic.is_empty()
        && topic.len() <= 249
        && topic.bytes().all(legal)
        && topic != "."
        && topic != ".."
        && partition.parse::<u32>().is_ok()
        && (partition == "0" || !partition.starts_with(['0', '+']))
}

pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>, Error> {
    disk.list(dir).map_err(Error::io("list", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C of LAYOUT.md at each format version.
    const LAYOUT_CHECKSUM: u32 = 3_259_615_784;

    #[test]
    fn the_layout_is_locked() {
        let found = protocol::record::checksum(include_bytes!("../LAYOUT.md"));
        assert_eq!(
            (FORMAT_VERSION, found),
            (3, LAYOUT_CHECKSUM),
            "LAYOUT.md changed: does an older program misread the folder? If so raise \
             FORMAT_VERSION; then put the new checksum here"
        );
    }

    #[test]
    fn names_are_kafkas() {
        let path = file(Path::new("orders-0"), 4711, LOG);
        assert_eq!(path, Path::new("orders-0/00000000000000004711.log"));
        assert_eq!(offset_of("00000000000000004711.log", LOG), Some(4711));
        assert_eq!(offset_of("00000000000000004711.log.swap", LOG), None);
        assert_eq!(offset_of("00000000000000004711.log.swap", "log.swap"), Some(4711));
        assert_eq!(offset_of("99999999999999999999.log", LOG), None);
        assert_eq!(offset_of("4711.log", LOG), None);
    }

    #[test]
    fn names_of_logs_are_told_from_other_folders() {
        for name in ["orders-0", "a.b_c-d-12", "__consumer_offsets-49"] {
            assert!(is_log_name(name), "{name}");
        }
        for name in ["orders", "orders-", "-0", "orders-01", "orders-+1", "a/b-0", "..-0"] {
            assert!(!is_log_name(name), "{name}");
        }
        assert!(!is_log_name("orders-0.0123-delete"));
    }
}
