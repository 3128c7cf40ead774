//! `edges: auto` gives what `edges: topics` gives, for random graphs of every operator.
//!
//! `MILLSTREAM_GRAPHS_SEED` replays one graph, `MILLSTREAM_GRAPHS` says how many are tried.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base::rng::{Random as _, SeededRandom, SystemRandom};
use client::Client;
use client::admin::TopicSpec;
use pipeline::engine::{EngineError, Mode, PipelineView};

use crate::harness::{Sent, check, plan, produce, read, start};

/// A graph as the text of its file, with places for the pipeline's name and its edges, and the
/// names of its sinks.
struct Graph {
    text: String,
    sinks: Vec<String>,
    sources: usize,
    partitions: i32,
}

/// What is known of a task while a graph grows.
#[derive(Clone, Copy)]
struct Grown {
    /// Nothing follows: the order in which keys meet here is nobody's promise.
    is_end: bool,
    /// A window stands before it or in it. One more would be asked how late what the first one
    /// gives is, and that is known by place in the log only between topics.
    has_window: bool,
    /// Its records are still those of the source.
    has_fields: bool,
}

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// A number below `count`; 0 when there is none.
    fn at(&self, count: usize) -> usize {
        base::cast::usize_of(self.below(base::cast::u64_of(count.max(1))))
    }

    fn pick<'w>(&self, words: &[&'w str]) -> &'w str {
        words[self.at(words.len())]
    }
}

fn window(dice: &Dice) -> String {
    let size = dice.pick(&["2s", "5s", "{ size: 4s, every: 2s }", "{ size: 6s, every: 1500ms }"]);
    let grace = dice.pick(&["", ", grace: 1s"]);
    let emit = dice.pick(&["", ", emit: final", ", emit: update"]);
    format!("window: {size}{grace}{emit}")
}

/// A task behind `parent`, as the words of its type.
fn words(dice: &Dice, parent: Grown) -> (String, Grown) {
    let mut grown = Grown { is_end: false, ..parent };
    let kinds = if parent.has_window { 5 } else { 8 };
    let words = match dice.below(kinds) {
        0 => "type: forward".to_owned(),
        1 => {
            let conditions = ["n > 20", "@key != 'k1'", "n < 70 or g == 'x'", "@timestamp > 9000"];
            format!("type: filter, where: \"{}\"", dice.pick(&conditions))
        }
        2 => {
            let set = dice.pick(&["n: n + 1", "m: n * 2", "at: '@timestamp'", "g: \"g + '!'\""]);
            let unset = if dice.one_in(4) { ", unset: [m]" } else { "" };
            format!("type: map, set: {{ {set} }}{unset}")
        }
        3 => "type: sum, field: n, add: 2".to_owned(),
        4 => {
            grown.has_fields = false;
            "type: count".to_owned()
        }
        kind => {
            (grown.has_fields, grown.has_window) = (false, true);
            let window = window(dice);
            if kind == 5 {
                format!("type: count, {window}")
            } else {
                format!("type: average, value: n, {window}")
            }
        }
    };
    // A new key for each old one keeps records of a key together and in order.
    let key = if dice.one_in(5) { ", key: \"'r' + @key\"" } else { "" };
    (format!("{words}{key}, on_error: skip"), grown)
}

fn graph(seed: u64) -> Graph {
    let dice = Dice(SeededRandom::new(seed));
    let mut tasks: Vec<(String, Vec<String>)> = Vec::new();
    let mut known: Vec<Grown> = Vec::new();
    let source = Grown { is_end: false, has_window: false, has_fields: true };
    for at in 0..1 + dice.below(6) {
        let id = format!("t{at}");
        let open: Vec<usize> = (0..tasks.len()).filter(|parent| !known[*parent].is_end).collect();
        let parent = open.get(dice.at(open.len()));
        let before = parent.map_or(source, |parent| known[*parent]);
        let (mut words, mut grown) = words(&dice, before);
        if let Some(parent) = parent {
            tasks[*parent].1.push(id.clone());
            // Records of many keys, or of two tasks, meet in one count, whose results do not
            // tell in which order.
            if dice.one_in(4) {
                grown.is_end = true;
                let key = if before.has_fields { ", key: g" } else { "" };
                words = format!("type: count{key}, on_error: skip");
                let second = open[dice.at(open.len())];
                if second != *parent {
                    tasks[second].1.push(id.clone());
                }
            }
        } else if !tasks.is_empty() {
            // Nothing can follow what is there.
            break;
        }
        tasks.push((format!("id: {id}, {words}"), Vec::new()));
        known.push(grown);
    }
    let sources = 1 + usize::from(dice.one_in(3));
    let mut sinks = Vec::new();
    let mut list = String::new();
    for (at, (words, to)) in tasks.iter().enumerate() {
        let mut to = to.clone();
        if to.is_empty() || dice.one_in(3) {
            sinks.push(format!("s{at}"));
            to.push(format!("s{at}"));
        }
        writeln!(list, "  - {{ {words}, to: [{}] }}", to.join(", ")).unwrap();
    }
    let mut text = format!(
        "version: 1\nname: NAME\nedges: EDGES\npartitions: {}\n\
         runtime: {{ parallelism: {} }}\nsources:\n",
        1 + dice.below(4),
        1 + dice.below(3)
    );
    for source in 0..sources {
        writeln!(text, "  in{source}: {{ topic: in{source} }}").unwrap();
    }
    write!(text, "tasks:\n{list}sinks:\n").unwrap();
    for sink in &sinks {
        writeln!(text, "  {sink}: {{ kafka: {{ topic: NAME-{sink} }} }}").unwrap();
    }
    let partitions = i32::try_from(1 + dice.below(4)).unwrap();
    Graph { text, sinks, sources, partitions }
}

/// Records of two rounds, never out of order by as much as a source allows.
fn records(seed: u64, source: usize) -> [Vec<(String, String, i64)>; 2] {
    let dice = Dice(SeededRandom::new(seed ^ 0x5eed));
    let record = |at: u64| {
        let key = format!("{}{}", if source == 0 { "k" } else { "x" }, dice.below(6));
        let value = match dice.below(12) {
            0 => "{\"n\":\"text\",\"g\":\"x\"}".to_owned(),
            1 => format!("{{\"n\":{at}}}"),
            _ => format!("{{\"n\":{at},\"m\":1.5,\"g\":\"{}\"}}", dice.pick(&["x", "y"])),
        };
        let time = i64::try_from(at * 300 + dice.below(900)).unwrap();
        (key, value, time)
    };
    [(0..50).map(record).collect(), (50..100).map(record).collect()]
}

async fn run(client: &Client, text: &str, close: bool) -> Result<PipelineView, EngineError> {
    let mode = Mode::UntilEnd { close_windows: close };
    start(client, plan(text), mode).finished().await
}

/// Results by key; those of a window that is told again and again also by window, because a
/// window may close before or behind what the next one tells.
type Results = BTreeMap<(String, String), Vec<String>>;

async fn results(client: &Client, topic: &str, by_window: bool) -> Results {
    let mut results = Results::new();
    for (key, records) in read(client, topic).await {
        for (value, _) in records {
            let start = value.split_once("\"window_start\":\"").map(|(_, rest)| rest);
            let start = start.and_then(|rest| rest.split_once('"')).map_or("", |(start, _)| start);
            let window = if by_window { start.to_owned() } else { String::new() };
            results.entry((key.clone(), window)).or_default().push(value);
        }
    }
    results
}

/// Tries one graph; how many results it gave.
fn try_graph(seed: u64) -> usize {
    println!("seed {seed}");
    let graph = graph(seed);
    let mut count = 0;
    check(async |_, client| {
        let topics = (0..graph.sources).map(|at| format!("in{at}"));
        let specs: Vec<TopicSpec> =
            topics.map(|topic| TopicSpec::new(&topic, graph.partitions)).collect();
        client.admin().create_topics(&specs).await.unwrap();
        let file = |edges: &str| graph.text.replace("NAME", edges).replace("EDGES", edges);
        for round in 0..2 {
            for source in 0..graph.sources {
                let records = &records(seed, source)[round];
                let sent: Vec<Sent<'_>> =
                    records.iter().map(|(key, value, at)| (&**key, &**value, *at)).collect();
                produce(client, &format!("in{source}"), &sent).await;
            }
            for edges in ["auto", "topics"] {
                let ended = run(client, &file(edges), round == 1).await;
                assert!(ended.is_ok(), "seed {seed}: {ended:?}\n{}", graph.text);
            }
        }
        let by_window = graph.text.contains("emit: update");
        for sink in &graph.sinks {
            let fused = results(client, &format!("auto-{sink}"), by_window).await;
            let cut = results(client, &format!("topics-{sink}"), by_window).await;
            count += fused.values().map(Vec::len).sum::<usize>();
            for key in fused.keys().chain(cut.keys()) {
                let (left, right) = (fused.get(key), cut.get(key));
                assert_eq!(left, right, "seed {seed}: {sink} {key:?} of\n{}", graph.text);
            }
        }
    });
    count
}

#[test]
fn a_random_graph_gives_the_same_results_with_and_without_topics_between_its_tasks() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("MILLSTREAM_GRAPHS_SEED") {
        try_graph(seed);
        return;
    }
    let graphs = number("MILLSTREAM_GRAPHS").unwrap_or(5);
    let results: usize = (0..graphs).map(|_| try_graph(SystemRandom.next_u64() >> 16)).sum();
    println!("{graphs} graphs, {results} results");
    assert!(results > 0, "no graph gives anything");
}

/// Every operator and both ways to end a window come in the graphs that are tried.
#[test]
fn graphs_have_every_operator_and_are_the_same_for_a_seed() {
    let all: String = (0..60).map(|seed| graph(seed).text).collect();
    for word in ["forward", "filter", "map", "sum", "count", "average", "emit: update", "key: g"] {
        assert!(all.contains(word), "{word}");
    }
    assert_eq!(graph(7).text, graph(7).text);
    for seed in 0..60 {
        for edges in ["auto", "topics"] {
            let text = graph(seed).text.replace("NAME", "p").replace("EDGES", edges);
            assert!(!plan(&text).stages.is_empty(), "seed {seed}");
        }
    }
}
