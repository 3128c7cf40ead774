//! What every disk must do, run by each implementation's tests.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use super::{Disk, OpenMode};

/// Checks a disk below `root`, which must not exist yet.
///
/// # Panics
/// When the disk breaks the contract.
pub fn check(disk: &dyn Disk, root: &Path) {
    assert!(!disk.exists(root), "{} must be new", root.display());
    assert_eq!(disk.list(root).expect("listing a missing folder gives nothing"), []);
    disk.create_dir_all(&root.join("a/b")).expect("folders can be made");
    disk.create_dir_all(&root.join("a/b")).expect("making a folder twice is fine");
    files_hold_what_was_written(disk, root);
    open_modes_differ(disk, root);
    names_move_and_go(disk, root);
    replacing_is_whole(disk, root);
    assert!(disk.free_bytes(root).expect("free space is known") > 0);
}

fn files_hold_what_was_written(disk: &dyn Disk, root: &Path) {
    let file = disk.open(&root.join("a/one"), OpenMode::Create).expect("a file can be made");
    file.write_at(b"hello", 0).expect("bytes can be written");
    let parts = [Bytes::from_static(b" wor"), Bytes::new(), Bytes::from_static(b"ld")];
    file.write_vectored_at(&parts, 5).expect("buffers can be written");
    file.sync_data().expect("a file can be flushed");
    assert_eq!(file.len().expect("the length is known"), 11);
    let mut buffer = [0; 6];
    file.read_exact_at(&mut buffer, 5).expect("bytes can be read back");
    assert_eq!(&buffer, b" world");
    assert_eq!(file.read_at(&mut buffer, 11).expect("the end can be read"), 0);
    let error = file.read_exact_at(&mut buffer, 8).expect_err("the file ends early");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    file.reserve(11, 1 << 20).expect("room can be set aside");
    assert_eq!(file.len().expect("the length is known"), 11, "the length stays");
    file.release().expect("room can be given back");
    assert_eq!(file.len().expect("the length is known"), 11);
    file.write_at(b"!", 13).expect("a gap is filled with zeros");
    file.set_len(12).expect("a file can be cut");
    assert_eq!(disk.read(&root.join("a/one")).expect("the file can be read"), "hello world\0");
}

fn open_modes_differ(disk: &dyn Disk, root: &Path) {
    let missing = root.join("a/none");
    for mode in [OpenMode::Read, OpenMode::Write] {
        let error = disk.open(&missing, mode).expect_err("the file is missing");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let path = root.join("a/modes");
    let file = disk.open(&path, OpenMode::Create).expect("a file can be made");
    file.write_at(b"kept", 0).expect("bytes can be written");
    drop(disk.open(&path, OpenMode::Create).expect("it can be opened again"));
    assert_eq!(disk.read(&path).expect("it can be read"), "kept");
    drop(disk.open(&path, OpenMode::Truncate).expect("it can be emptied"));
    assert_eq!(disk.read(&path).expect("it can be read"), "");
}

fn names_move_and_go(disk: &dyn Disk, root: &Path) {
    let (from, to) = (root.join("a/from"), root.join("a/to"));
    let file = disk.open(&from, OpenMode::Create).expect("a file can be made");
    file.write_at(b"moved", 0).expect("bytes can be written");
    disk.rename(&from, &to).expect("a file can be renamed");
    disk.sync_dir(&root.join("a")).expect("a folder can be flushed");
    assert!(!disk.exists(&from) && disk.exists(&to));
    disk.remove_file(&to).expect("a file can be removed");
    disk.remove_file(&to).expect("removing a missing file is fine");
    let mut buffer = [0; 5];
    file.read_exact_at(&mut buffer, 0).expect("an open file outlives its name");
    assert_eq!(&buffer, b"moved");
    disk.rename(&root.join("a/b"), &root.join("a/c")).expect("a folder can be renamed");
    let names: Vec<_> = disk.list(&root.join("a")).expect("a folder can be listed");
    let names: Vec<_> = names.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
    assert_eq!(names, [("c", true), ("modes", false), ("one", false)]);
    disk.remove_dir_all(&root.join("a/c")).expect("a folder can be removed");
    disk.remove_dir_all(&root.join("a/c")).expect("removing a missing folder is fine");
}

fn replacing_is_whole(disk: &dyn Disk, root: &Path) {
    let path = root.join("a/replaced");
    disk.replace(&path, b"first").expect("a new file can be placed");
    disk.replace(&path, b"second").expect("a file can be replaced");
    assert_eq!(disk.read(&path).expect("it can be read"), "second");
    assert!(!disk.exists(&root.join("a/replaced.tmp")));
}
