//! Spreading partitions over the members of a group, by Kafka's range rule: pure.
//!
//! Per topic, the members that want it are sorted by name, and each gets a run of neighbouring
//! partitions; the first ones get one more when it does not come out even. Members of other
//! clients compute the same, so whoever leads the group, the result does not change.

use std::collections::BTreeMap;

/// Partitions by topic.
pub(crate) type Partitions = BTreeMap<String, Vec<i32>>;

/// What each member gets; `wanted` are the topics of each member, `counts` their partitions.
pub(crate) fn range(
    wanted: &BTreeMap<String, Vec<String>>,
    counts: &BTreeMap<String, i32>,
) -> BTreeMap<String, Partitions> {
    let mut assigned: BTreeMap<String, Partitions> =
        wanted.keys().map(|member| (member.clone(), Partitions::new())).collect();
    for (topic, count) in counts {
        let members: Vec<&String> = wanted
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(member, _)| member)
            .collect();
        let Ok(member_count) = i32::try_from(members.len()) else { continue };
        let mut next = 0;
        for (at, member) in (0..member_count).zip(members) {
            let extra = i32::from(at < count % member_count);
            let end = next + count / member_count + extra;
            if end > next {
                let partitions = assigned.entry(member.clone()).or_default();
                partitions.insert(topic.clone(), (next..end).collect());
            }
            next = end;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &[(&str, &[&str])], counts: &[(&str, i32)]) -> String {
        let topics =
            |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>();
        let wanted = wanted.iter().map(|(member, it)| ((*member).to_owned(), topics(it)));
        let counts = counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count));
        let assigned = range(&wanted.collect(), &counts.collect());
        let lines = assigned.iter().map(|(member, partitions)| format!("{member}{partitions:?}"));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn neighbours_go_together_and_the_first_members_take_the_rest() {
        let both: &[&str] = &["t"];
        assert_eq!(
            check(&[("a", both), ("b", both)], &[("t", 5)]),
            r#"a{"t": [0, 1, 2]} b{"t": [3, 4]}"#
        );
    }

    #[test]
    fn members_get_only_topics_that_they_want_and_some_get_nothing() {
        let assigned = check(&[("a", &["t"]), ("b", &["u"]), ("c", &["t"])], &[("t", 1), ("u", 2)]);
        assert_eq!(assigned, r#"a{"t": [0]} b{"u": [0, 1]} c{}"#);
    }

    #[test]
    fn a_topic_that_nobody_wants_is_left_alone() {
        assert_eq!(check(&[("a", &["x"])], &[("t", 3)]), "a{}");
    }
}
