//! The values of a message as a tree, made from Kafka's listing or from our `Debug` output.

/// A value with names and without types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Struct(Vec<(String, Tree)>),
}

impl Tree {
    /// The tree of an indented listing.
    pub(crate) fn of_lines(lines: &[&str]) -> Self {
        let mut rest = lines;
        children(&mut rest, 1)
    }

    /// The tree of what `{:?}` prints; options are transparent, and `None` is null.
    pub(crate) fn of_debug(text: &str) -> Self {
        let mut rest = text;
        let tree = debug_value(&mut rest);
        assert!(rest.is_empty(), "left over: {rest}");
        tree
    }

    /// Where the other tree lacks a value of this one or holds another one.
    pub(crate) fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        compare(self, found, "", &mut differences);
        differences
    }
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn children(rest: &mut &[&str], level: usize) -> Tree {
    let mut named = Vec::new();
    while let Some(line) = rest.first().filter(|line| depth(line) == level) {
        *rest = &rest[1..];
        let (name, value) = line.trim().split_once(' ').unwrap_or_else(|| (line.trim(), ""));
        let value = match value {
            "" => children(rest, level + 1),
            value => Tree::Leaf(value.to_owned()),
        };
        named.push((name.to_owned(), value));
    }
    if !named.is_empty() && named.iter().all(|(name, _)| name == "-") {
        Tree::List(named.into_iter().map(|(_, value)| value).collect())
    } else {
        Tree::Struct(named)
    }
}

fn debug_value(rest: &mut &str) -> Tree {
    *rest = rest.trim_start();
    if let Some(tail) = rest.strip_prefix('[') {
        *rest = tail;
        return Tree::List(debug_items(rest, ']', debug_value));
    }
    if rest.starts_with('"') || rest.starts_with("b\"") {
        // The golden texts hold no quotes, so the next but one ends the literal.
        let (end, _) = rest.match_indices('"').nth(1).expect("a literal has an end");
        let (literal, tail) = rest.split_at(end + 1);
        *rest = tail;
        return Tree::Leaf(literal.to_owned());
    }
    let end = rest.find([' ', ',', '(', '{', '[', ')', '}', ']']).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    *rest = tail;
    if let Some(tail) = rest.strip_prefix('(') {
        *rest = tail;
        return debug_items(rest, ')', debug_value).pop().expect("a wrapper holds one value");
    }
    if let Some(tail) = rest.strip_prefix(" {") {
        *rest = tail;
        return Tree::Struct(debug_items(rest, '}', debug_field));
    }
    Tree::Leaf(if word == "None" { "null" } else { word }.to_owned())
}

fn debug_field(rest: &mut &str) -> (String, Tree) {
    let (name, tail) = rest.split_once(':').expect("a field has a name");
    *rest = tail;
    (name.trim().to_owned(), debug_value(rest))
}

fn debug_items<T>(rest: &mut &str, close: char, item: fn(&mut &str) -> T) -> Vec<T> {
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(tail) = rest.strip_prefix(close) {
            *rest = tail;
            return items;
        }
        items.push(item(rest));
    }
}

fn compare(wanted: &Tree, found: &Tree, path: &str, differences: &mut Vec<String>) {
    match (wanted, inside_of_records(found)) {
        (Tree::Leaf(wanted), Tree::Leaf(found)) if wanted == found => {}
        (Tree::List(wanted), Tree::List(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(wanted, found, &format!("{path}[{index}]"), differences);
            }
        }
        (Tree::Struct(wanted), Tree::Struct(found)) => {
            for (name, wanted) in wanted {
                let path = format!("{path}.{name}");
                match found.iter().find(|(other, _)| plain(other) == plain(name)) {
                    Some((_, found)) => compare(wanted, found, &path, differences),
                    None => differences.push(format!("{path} is missing")),
                }
            }
        }
        (wanted, found) => differences.push(format!("{path}: {wanted:?}, not {found:?}")),
    }
}

/// Records are shown as the list of their pieces; the golden ones have one.
fn inside_of_records(tree: &Tree) -> &Tree {
    match tree {
        Tree::Struct(fields) => match fields.as_slice() {
            [(name, Tree::List(pieces))] if name == "chunks" && pieces.len() == 1 => &pieces[0],
            _ => tree,
        },
        _ => tree,
    }
}

fn plain(name: &str) -> String {
    name.replace('_', "")
}

#[test]
fn a_swapped_field_is_seen() {
    let wanted = Tree::of_lines(&[" a 1", " list", "  -", "   b \"s-2\"", "  -", "   b null"]);
    let same = "M { a: 1, list: [N { b: Some(\"s-2\"), c: 7 }, N { b: None, c: 8 }] }";
    assert_eq!(wanted.differences(&Tree::of_debug(same)), Vec::<String>::new());
    let swapped = "M { a: 7, list: [N { b: Some(\"s-2\"), c: 1 }, N { b: None, c: 8 }] }";
    assert_eq!(wanted.differences(&Tree::of_debug(swapped)).len(), 1);
}
