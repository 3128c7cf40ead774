//! The files of the project: what git tracks, and what it would take in.

use std::cell::OnceCell;
use std::fs;

use super::Report;
use super::source::Source;
use crate::workspace;

/// A file of the project.
#[derive(Debug)]
pub(super) struct File {
    /// Path inside the project.
    pub(super) path: String,
    bytes: Vec<u8>,
    executable: bool,
    text: OnceCell<String>,
}

impl File {
    /// Its text; what is not UTF-8 is replaced.
    pub(super) fn text(&self) -> &str {
        self.text.get_or_init(|| String::from_utf8_lossy(&self.bytes).into_owned())
    }
}

/// All files of the project.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads the project.
    ///
    /// # Errors
    /// When git cannot list the files or one of them cannot be read.
    pub(super) fn read() -> Result<Self, String> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = workspace::output_of(workspace::command("git").args(list))?;
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let full = workspace::root().join(path);
            // A file that is deleted and not yet committed is still listed.
            let Ok(facts) = fs::symlink_metadata(&full) else { continue };
            if !facts.is_file() {
                continue;
            }
            let bytes = fs::read(&full).map_err(|error| format!("{path}: {error}"))?;
            files.push(File::new(path, bytes, is_executable(&facts)));
        }
        Ok(Self::from_files(files))
    }

    /// A tree of files that exist only here.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File::new(path, text.as_bytes().to_vec(), false);
        Self::from_files(files.iter().map(file).collect())
    }

    fn from_files(files: Vec<File>) -> Self {
        let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
        let sources = rust.map(|file| Source::new(&file.path, file.text())).collect();
        Self { files, sources }
    }

    /// The Rust files.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The file of this path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or folder of this path exists.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let below = |file: &&File| file.path == path || file.path.starts_with(&format!("{path}/"));
        path.is_empty() || path == "." || self.files.iter().find(below).is_some()
    }
}

impl File {
    fn new(path: &str, bytes: Vec<u8>, executable: bool) -> Self {
        Self { path: path.to_owned(), bytes, executable, text: OnceCell::new() }
    }
}

#[cfg(unix)]
fn is_executable(facts: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    facts.permissions().mode() & 0o111 != 0
}

const BLOB_BYTES_MAX: usize = 256 * 1024;

const EXTENSIONS: &[&str] = &[
    "rs", "toml", "md", "yaml", "yml", "json", "txt", "snap", "hex", "bin", "schema", "py", "java",
    "sql", "lock", "log", "jsonl", "csv", "svg",
];

/// Files without an extension, or with a meaning of their own.
const NAMES: &[&str] =
    &["LICENSE", "NOTICE", ".gitignore", ".gitattributes", "run", ".editorconfig"];

/// B7, E7: every file is of a kind that we know, of a size that git can carry, and no program.
pub(super) fn check_files(tree: &Tree, report: &mut Report) {
    for file in tree.files() {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if !EXTENSIONS.contains(&extension) && !NAMES.contains(&name) {
            let what =
                format!("`{name}` is of a kind nobody expects, add the kind to tidy/tree.rs");
            report.add("E7", &file.path, 1, what);
        }
        if file.bytes.len() > BLOB_BYTES_MAX {
            let what = format!("{} bytes, at most {BLOB_BYTES_MAX}: make it", file.bytes.len());
            report.add("B7", &file.path, 1, what);
        }
        if file.executable {
            report.add("E7", &file.path, 1, "the file is executable, start it by name (chmod 644)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_big_or_executable_file_is_named() {
        let big = "x".repeat(BLOB_BYTES_MAX + 1);
        let mut tree = Tree::of(&[("a.exe", ""), ("b.txt", &big), ("c.rs", "")]);
        tree.files[2].executable = true;
        let mut report = Report::default();
        check_files(&tree, &mut report);
        let found: Vec<(&str, &str)> =
            report.violations.iter().map(|v| (v.path.as_str(), v.rule)).collect();
        assert_eq!(found, [("a.exe", "E7"), ("b.txt", "B7"), ("c.rs", "E7")]);
        assert!(tree.has("a.exe") && !tree.has("a"));
    }
}
