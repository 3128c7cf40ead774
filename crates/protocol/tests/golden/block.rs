//! The blocks of a golden file: a message in one version, its bytes and its values.

use bytes::Bytes;

use crate::tree::Tree;

/// What the message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    Record,
}

/// How the message was filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Values,
    Nulls,
    Defaults,
}

/// One message in one version.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    pub(crate) version: i16,
    pub(crate) mode: Mode,
    pub(crate) bytes: Bytes,
    pub(crate) values: Tree,
}

impl Block {
    pub(crate) fn parse_all(text: &str) -> Vec<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let starts: Vec<usize> =
            (0..lines.len()).filter(|index| !lines[*index].starts_with(' ')).collect();
        let ends = starts.iter().skip(1).copied().chain([lines.len()]);
        starts.iter().zip(ends).map(|(start, end)| Self::parse(&lines[*start..end])).collect()
    }

    fn parse(lines: &[&str]) -> Self {
        let words: Vec<&str> = lines[0].split(' ').collect();
        let kind = match words[0] {
            "request" => Kind::Request,
            "response" => Kind::Response,
            "record" => Kind::Record,
            other => panic!("unknown kind {other}"),
        };
        let mode = match words[2] {
            "values" => Mode::Values,
            "nulls" => Mode::Nulls,
            "defaults" => Mode::Defaults,
            other => panic!("unknown mode {other}"),
        };
        let version = words[1].parse().unwrap();
        Self { kind, version, mode, bytes: unhex(words[3]), values: Tree::of_lines(&lines[1..]) }
    }
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
