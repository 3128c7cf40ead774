//! What names may look like.

use crate::diagnose::Sources;
use crate::limits::NAME_BYTES_MAX;

/// Whether Kafka and this house accept the characters of a name.
pub(crate) fn is_legal(name: &str, bytes_max: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty()
        && name.len() <= bytes_max
        && name != "."
        && name != ".."
        && name.bytes().all(legal)
}

/// A legal pipeline name made of a file's name: `tasks/my pipe.yaml` becomes `my-pipe`.
pub(crate) fn from_file(sources: &Sources, file: usize) -> String {
    let name = sources.files().get(file).map_or("", |file| file.name.as_str());
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let replaced = stem.chars().map(|c| if legal(c) { c } else { '-' });
    let cut: String = replaced.take(NAME_BYTES_MAX).collect();
    if is_legal(&cut, NAME_BYTES_MAX) { cut } else { "pipeline".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_become_legal_pipeline_names() {
        let name = |file: &str| from_file(&Sources::single(file, ""), 0);
        assert_eq!(name("examples/machine-health.yaml"), "machine-health");
        assert_eq!(name("my pipe.yml"), "my-pipe");
        assert_eq!(name("-"), "-");
        assert_eq!(name(""), "pipeline");
        assert_eq!(name(&"x".repeat(500)).len(), NAME_BYTES_MAX);
    }
}
