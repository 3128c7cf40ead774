//! Topics and groups as tables, in Kafka's words and order.

use crate::render::numbers::{self, count_or_dash};
use crate::render::table::{Align, Table, visible};

/// Columns that a cell may take: Kafka's names may have 249 letters, member ids more.
const CELL_WIDTH_MAX: usize = 300;

/// How counts are written: apart for people, plain for programs that read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    Apart,
    Plain,
}

impl Digits {
    /// A number, where -1 stands for "does not apply".
    fn text(self, number: i64) -> String {
        match self {
            Self::Apart => count_or_dash(number),
            Self::Plain if number < 0 => "-".to_owned(),
            Self::Plain => number.to_string(),
        }
    }

    fn total(self, number: u64) -> String {
        match self {
            Self::Apart => numbers::count(number),
            Self::Plain => number.to_string(),
        }
    }
}

/// A topic in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TopicLine {
    pub(crate) name: String,
    pub(crate) partitions: usize,
    pub(crate) replicas: usize,
    /// Records that are there, over all partitions; absent where nobody asked.
    pub(crate) records: Option<u64>,
}

/// A partition of a described topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartitionLine {
    pub(crate) partition: i32,
    /// -1 when there is none.
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
    pub(crate) log_start_offset: i64,
    pub(crate) high_watermark: i64,
}

/// A setting of a described topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ConfigLine {
    pub(crate) name: String,
    /// Absent for what must not be shown.
    pub(crate) value: Option<String>,
    /// Kafka's word, such as `DYNAMIC_TOPIC_CONFIG`.
    pub(crate) source: String,
}

/// A described topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TopicDetail {
    pub(crate) name: String,
    pub(crate) topic_id: String,
    pub(crate) is_internal: bool,
    pub(crate) partitions: Vec<PartitionLine>,
    pub(crate) configs: Vec<ConfigLine>,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupLine {
    pub(crate) group: String,
    pub(crate) protocol_type: String,
    pub(crate) state: String,
}

/// A partition that a group reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LagLine {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The committed offset; -1 when there is none.
    pub(crate) current_offset: i64,
    pub(crate) log_end_offset: i64,
    /// Empty when no member has the partition.
    pub(crate) consumer_id: String,
    pub(crate) host: String,
    pub(crate) client_id: String,
}

/// A described group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupDetail {
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) coordinator: i32,
    /// The assignment protocol that the members agreed on; empty without members.
    pub(crate) balancer: String,
    pub(crate) members: usize,
    pub(crate) lags: Vec<LagLine>,
}

impl LagLine {
    /// Records that wait; -1 when nothing was committed yet.
    pub(crate) fn lag(&self) -> i64 {
        if self.current_offset < 0 {
            return -1;
        }
        self.log_end_offset.saturating_sub(self.current_offset).max(0)
    }
}

/// `topic list`.
pub(crate) fn topics(topics: &[TopicLine], digits: Digits) -> String {
    let counts = topics.iter().any(|topic| topic.records.is_some());
    let mut columns =
        vec![("NAME", Align::Left), ("PARTITIONS", Align::Right), ("REPLICAS", Align::Right)];
    if counts {
        columns.push(("RECORDS", Align::Right));
    }
    let mut table = Table::new(&columns);
    for topic in topics {
        let records = topic.records.map_or_else(|| "-".to_owned(), |count| digits.total(count));
        let (partitions, replicas) = (topic.partitions.to_string(), topic.replicas.to_string());
        table.push([topic.name.clone(), partitions, replicas, records]);
    }
    table.text(CELL_WIDTH_MAX)
}

/// `topic describe`.
pub(crate) fn topic(topic: &TopicDetail, digits: Digits) -> String {
    let first = topic.partitions.first();
    let replicas = first.map_or(0, |partition| partition.replicas.len());
    let mut text = block(&[
        ("NAME", topic.name.clone()),
        ("TOPIC-ID", topic.topic_id.clone()),
        ("INTERNAL", topic.is_internal.to_string()),
        ("PARTITIONS", topic.partitions.len().to_string()),
        ("REPLICAS", replicas.to_string()),
    ]);
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("LEADER", Align::Right),
        ("EPOCH", Align::Right),
        ("REPLICAS", Align::Left),
        ("ISR", Align::Left),
        ("LOG-START-OFFSET", Align::Right),
        ("HIGH-WATERMARK", Align::Right),
    ]);
    for line in &topic.partitions {
        table.push([
            line.partition.to_string(),
            digits.text(i64::from(line.leader)),
            digits.text(i64::from(line.leader_epoch)),
            brokers(&line.replicas),
            brokers(&line.in_sync),
            digits.text(line.log_start_offset),
            digits.text(line.high_watermark),
        ]);
    }
    text.push('\n');
    text.push_str(&table.text(CELL_WIDTH_MAX));
    if !topic.configs.is_empty() {
        let columns = [("CONFIG", Align::Left), ("VALUE", Align::Left), ("SOURCE", Align::Left)];
        let mut table = Table::new(&columns);
        for config in &topic.configs {
            let value = config.value.as_deref().unwrap_or("-");
            table.push([config.name.as_str(), value, config.source.as_str()]);
        }
        text.push('\n');
        text.push_str(&table.text(CELL_WIDTH_MAX));
    }
    text
}

/// `group list`.
pub(crate) fn groups(groups: &[GroupLine]) -> String {
    let columns = [("GROUP", Align::Left), ("PROTOCOL-TYPE", Align::Left), ("STATE", Align::Left)];
    let mut table = Table::new(&columns);
    for line in groups {
        table.push([line.group.as_str(), dash(&line.protocol_type), dash(&line.state)]);
    }
    table.text(CELL_WIDTH_MAX)
}

/// `group describe`: a block about the group, then Kafka's columns in Kafka's order.
pub(crate) fn group(group: &GroupDetail, digits: Digits) -> String {
    let waiting = |line: &LagLine| u64::try_from(line.lag()).unwrap_or(0);
    let total = group.lags.iter().map(waiting).fold(0, u64::saturating_add);
    let mut text = block(&[
        ("GROUP", group.group.clone()),
        ("COORDINATOR", digits.text(i64::from(group.coordinator))),
        ("STATE", group.state.clone()),
        ("BALANCER", dash(&group.balancer).to_owned()),
        ("MEMBERS", group.members.to_string()),
        ("TOTAL-LAG", digits.total(total)),
    ]);
    if group.lags.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("GROUP", Align::Left),
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("CURRENT-OFFSET", Align::Right),
        ("LOG-END-OFFSET", Align::Right),
        ("LAG", Align::Right),
        ("CONSUMER-ID", Align::Left),
        ("HOST", Align::Left),
        ("CLIENT-ID", Align::Left),
    ]);
    for line in &group.lags {
        table.push([
            group.group.clone(),
            line.topic.clone(),
            line.partition.to_string(),
            digits.text(line.current_offset),
            digits.text(line.log_end_offset),
            digits.text(line.lag()),
            dash(&line.consumer_id).to_owned(),
            dash(&line.host).to_owned(),
            dash(&line.client_id).to_owned(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.text(CELL_WIDTH_MAX));
    text
}

fn block(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {}\n", visible(value));
    lines.iter().map(line).collect()
}

fn brokers(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(","))
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_a_table() {
        let line = |name: &str, records| TopicLine {
            name: name.to_owned(),
            partitions: 4,
            replicas: 1,
            records,
        };
        let list = [line("machine.readings", None), line("p1_p2", None)];
        let expected = "\
NAME              PARTITIONS  REPLICAS
machine.readings           4         1
p1_p2                      4         1
";
        assert_eq!(topics(&list, Digits::Plain), expected);
        let list = [line("machine.readings", Some(3_224)), line("p1_p2", None)];
        let expected = "\
NAME              PARTITIONS  REPLICAS  RECORDS
machine.readings           4         1    3,224
p1_p2                      4         1        -
";
        assert_eq!(topics(&list, Digits::Apart), expected);
    }

    #[test]
    fn a_topic_has_partitions_and_settings() {
        let detail = TopicDetail {
            name: "machine.readings".to_owned(),
            topic_id: "xIDhRtLPTMWzFpMpY1mTXA".to_owned(),
            is_internal: false,
            partitions: vec![PartitionLine {
                partition: 0,
                leader: 1,
                leader_epoch: 0,
                replicas: vec![1, 2],
                in_sync: vec![1],
                log_start_offset: 0,
                high_watermark: 12_345,
            }],
            configs: vec![ConfigLine {
                name: "retention.ms".to_owned(),
                value: Some("3600000".to_owned()),
                source: "DYNAMIC_TOPIC_CONFIG".to_owned(),
            }],
        };
        let expected = "\
NAME        machine.readings
TOPIC-ID    xIDhRtLPTMWzFpMpY1mTXA
INTERNAL    false
PARTITIONS  1
REPLICAS    2

PARTITION  LEADER  EPOCH  REPLICAS  ISR  LOG-START-OFFSET  HIGH-WATERMARK
        0       1      0  [1,2]     [1]                 0          12,345

CONFIG        VALUE    SOURCE
retention.ms  3600000  DYNAMIC_TOPIC_CONFIG
";
        assert_eq!(topic(&detail, Digits::Apart), expected);
    }

    #[test]
    fn a_group_has_kafkas_columns_in_kafkas_order() {
        let line = |partition, current_offset, consumer_id: &str| LagLine {
            topic: "sensors.raw".to_owned(),
            partition,
            current_offset,
            log_end_offset: 884_421,
            consumer_id: consumer_id.to_owned(),
            host: if consumer_id.is_empty() { String::new() } else { "/127.0.0.1".to_owned() },
            client_id: String::new(),
        };
        let detail = GroupDetail {
            group: "greenhouse".to_owned(),
            state: "Stable".to_owned(),
            coordinator: 1,
            balancer: "range".to_owned(),
            members: 1,
            lags: vec![line(0, 884_120, "c-1"), line(1, -1, ""), line(2, 884_500, "")],
        };
        let expected = "\
GROUP        greenhouse
COORDINATOR  1
STATE        Stable
BALANCER     range
MEMBERS      1
TOTAL-LAG    301

GROUP       TOPIC        PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST        \
CLIENT-ID
greenhouse  sensors.raw          0         884,120         884,421  301  c-1          /127.0.0.1  -
greenhouse  sensors.raw          1               -         884,421    -  -            -           -
greenhouse  sensors.raw          2         884,500         884,421    0  -            -           -
";
        assert_eq!(group(&detail, Digits::Apart), expected);
        assert!(group(&detail, Digits::Plain).contains("  884120  "));
        let empty = GroupDetail { group: "g".to_owned(), ..GroupDetail::default() };
        assert!(group(&empty, Digits::Plain).ends_with("TOTAL-LAG    0\n"));
    }

    #[test]
    fn groups_are_a_table() {
        let line = |group: &str, protocol_type: &str, state: &str| GroupLine {
            group: group.to_owned(),
            protocol_type: protocol_type.to_owned(),
            state: state.to_owned(),
        };
        let list = [line("ms.mill.count", "", "Empty"), line("readers", "consumer", "Stable")];
        let expected = "\
GROUP          PROTOCOL-TYPE  STATE
ms.mill.count  -              Empty
readers        consumer       Stable
";
        assert_eq!(groups(&list), expected);
    }
}
