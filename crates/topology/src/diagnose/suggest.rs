//! "Did you mean ...?": the nearest known name.

use crate::limits::SUGGESTION_CHARS_MAX;

/// The known name nearest to what was written, when it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter_map(|name| distance(written, name).map(|far| (far, name)))
        .filter(|(far, name)| *far <= allowed && *far < name.chars().count())
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// The nearest known name as a help text.
#[must_use]
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(written, known).map(|name| format!("did you mean `{name}`?"))
}

/// Edits (insert, delete, replace, swap of neighbours) between two names, case ignored; `None`
/// for names too long to compare.
fn distance(left: &str, right: &str) -> Option<usize> {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    if left.len().max(right.len()) > SUGGESTION_CHARS_MAX {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, left_char) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, right_char) in right.iter().enumerate() {
            let replace = last[column] + usize::from(left_char != right_char);
            let mut best = replace.min(last[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0
                && column > 0
                && *left_char == right[column - 1]
                && left[row - 1] == *right_char;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_finds_the_name_and_strangers_find_none() {
        let known = ["forward", "sum", "count", "average", "filter", "map"];
        let near = |written| nearest(written, known);
        assert_eq!(near("averge"), Some("average"));
        assert_eq!(near("cuont"), Some("count"));
        assert_eq!(near("Filter"), Some("filter"));
        assert_eq!(near("sums"), Some("sum"));
        assert_eq!(near("window"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"x".repeat(10_000)), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(distance("ab", "ba"), Some(1));
        assert_eq!(distance("kitten", "sitting"), Some(3));
    }
}
