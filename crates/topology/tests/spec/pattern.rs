//! Regular expressions, as far as the schema of pipeline files uses them.

/// A part of a pattern.
enum Piece {
    /// One character of these ranges.
    Set(Vec<(char, char)>),
    /// One of several sequences.
    Group(Vec<Vec<Repeat>>),
    /// The beginning of the text.
    Start,
    /// Its end.
    End,
}

/// A part, and how often it may come.
struct Repeat {
    piece: Piece,
    least: usize,
    most: usize,
}

/// Whether the pattern is found in the text.
pub(crate) fn is_found(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars().collect::<Vec<_>>();
    rest.reverse();
    let all = alternatives(&mut rest);
    assert!(rest.is_empty(), "the pattern {pattern} goes on behind its end");
    let text: Vec<char> = text.chars().collect();
    (0..=text.len()).any(|from| all.iter().any(|one| sequence(one, &text, from, &mut |_| true)))
}

/// Reads `a|b|c`; the characters that are left stand in reverse order.
fn alternatives(rest: &mut Vec<char>) -> Vec<Vec<Repeat>> {
    let mut all = vec![Vec::new()];
    while let Some(next) = rest.pop() {
        let piece = match next {
            '|' => {
                all.push(Vec::new());
                continue;
            }
            ')' => {
                rest.push(next);
                break;
            }
            '(' => {
                let inner = alternatives(rest);
                assert_eq!(rest.pop(), Some(')'));
                Piece::Group(inner)
            }
            '[' => Piece::Set(ranges(rest)),
            '^' => Piece::Start,
            '$' => Piece::End,
            '\\' => {
                let literal = rest.pop().unwrap();
                assert!(literal.is_ascii_punctuation(), "\\{literal} is not known here");
                Piece::Set(vec![(literal, literal)])
            }
            '.' | '{' => panic!("{next} is not known here"),
            literal => Piece::Set(vec![(literal, literal)]),
        };
        let (least, most) = times(rest);
        all.last_mut().unwrap().push(Repeat { piece, least, most });
    }
    all
}

fn ranges(rest: &mut Vec<char>) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    loop {
        let from = rest.pop().unwrap();
        if from == ']' {
            return ranges;
        }
        // A dash before the end of the set means itself.
        let is_range = rest.last() == Some(&'-') && rest[rest.len() - 2] != ']';
        let to = if is_range {
            rest.pop();
            rest.pop().unwrap()
        } else {
            from
        };
        ranges.push((from, to));
    }
}

/// Reads `?`, `*`, `+` or `{1,3}`.
fn times(rest: &mut Vec<char>) -> (usize, usize) {
    let bounds = match rest.last() {
        Some('?') => (0, 1),
        Some('*') => (0, usize::MAX),
        Some('+') => (1, usize::MAX),
        Some('{') => {
            let mut inside = String::new();
            while *rest.last().unwrap() != '}' {
                inside.push(rest.pop().unwrap());
            }
            let (least, most) = inside[1..].split_once(',').unwrap();
            (least.parse().unwrap(), most.parse().unwrap())
        }
        _ => return (1, 1),
    };
    rest.pop();
    bounds
}

/// What is asked once a part has been found, with the place behind it.
type Then<'a> = &'a mut dyn FnMut(usize) -> bool;

fn sequence(parts: &[Repeat], text: &[char], at: usize, then: Then<'_>) -> bool {
    match parts.split_first() {
        Some((first, rest)) => repeat((first, 0), rest, text, at, then),
        None => then(at),
    }
}

fn repeat(
    (part, count): (&Repeat, usize),
    rest: &[Repeat],
    text: &[char],
    at: usize,
    then: Then<'_>,
) -> bool {
    let mut again = |next: usize| {
        // What takes no character is not taken for ever.
        (next > at || count < part.least) && repeat((part, count + 1), rest, text, next, &mut *then)
    };
    if count < part.most && once(&part.piece, text, at, &mut again) {
        return true;
    }
    count >= part.least && sequence(rest, text, at, then)
}

fn once(piece: &Piece, text: &[char], at: usize, then: Then<'_>) -> bool {
    match piece {
        Piece::Start => at == 0 && then(at),
        Piece::End => at == text.len() && then(at),
        Piece::Set(ranges) => {
            let is_in = |it: &char| ranges.iter().any(|(from, to)| (from..=to).contains(&it));
            text.get(at).is_some_and(is_in) && then(at + 1)
        }
        Piece::Group(all) => all.iter().any(|one| sequence(one, text, at, &mut *then)),
    }
}

#[test]
fn patterns_are_found_as_elsewhere() {
    for (pattern, found, not_found) in [
        ("^x-", "x-a", "ax-"),
        ("\\$\\{|^[0-9_]+$", "1_000", "1.5"),
        ("\\$\\{|^[0-9_]+$", "a${B}", ""),
        ("^[A-Za-z0-9._-]{1,3}$", "a-.", "abcd"),
        ("^ *([0-9]+(\\.[0-9]+)?(ms|s|m|h|d) *)+$", "1.5h 30m", "1h30"),
        ("^-?[0-9]", "-1e9", "x1"),
    ] {
        assert!(is_found(pattern, found), "{pattern} in {found}");
        assert!(!is_found(pattern, not_found), "{pattern} in {not_found}");
    }
}
