//! A first pipeline file for somebody who has none: small, commented, and free of errors.

use super::upgrade::scalar;
use super::{names, schema_line};
use crate::diagnose::Sources;
use crate::limits::NAME_BYTES_MAX;

/// What a first file is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The file that it is written to; the pipeline gets its name.
    pub file: String,
    /// The topics that it reads; at least one.
    pub sources: Vec<String>,
    /// The topic of its results.
    pub sink: String,
}

/// Names that the skeleton's own parts have.
const TAKEN: [&str; 4] = ["valid", "mean", "source", "sink"];

impl Skeleton {
    /// The text of the file.
    ///
    /// Topics are written as they were given: whoever writes the file checks it first. What is
    /// offered in comments may be uncommented as it stands.
    #[must_use]
    pub fn text(&self) -> String {
        let name = names::from_file(&Sources::single(&self.file, ""), 0);
        // A line break in the file's name would end the comment that tells it.
        let file = self.file.replace(char::is_control, " ");
        let mut out = schema_line();
        out.push_str("#\n");
        out.push_str("# Check it, run its test cases without a log, and run it:\n");
        for action in ["pipeline lint", "pipeline test", "run"] {
            out.push_str(&format!("#   millstream {action} {file}\n"));
        }
        let first = self.sources.first().map_or("readings", String::as_str);
        out.push_str("# Then give it a record:\n");
        out.push_str(&format!(
            "#   echo 'a {{\"value\":1}}' | millstream produce {first} -f '%k %v\\n'\n"
        ));
        out.push_str(&format!("version: 1\nname: {}\n\n", scalar(&name)));
        out.push_str("# How many workers share the work; each task's state is split among them.\n");
        out.push_str("# runtime: { parallelism: 2 }\n\n");
        self.write_sources(&mut out);
        self.write_tasks(&mut out);
        out.push_str(&format!(
            "# Where results go: a topic, and perhaps a table that is written from it.\n\
             sink:\n  kafka: {{ topic: {} }}\n  \
             # sqlite: {{ file: results.db, table: results }}\n\n",
            scalar(&self.sink)
        ));
        out.push_str(TESTS);
        out
    }

    fn write_sources(&self, out: &mut String) {
        out.push_str("# Where records come from. A topic that is missing is made.\n");
        if let [only] = self.sources.as_slice() {
            out.push_str(&format!("source:\n  topic: {}\n", scalar(only)));
            out.push_str(&options_of_source("  "));
        } else {
            out.push_str("sources:\n");
            for (number, topic) in self.sources.iter().enumerate() {
                let name = scalar(&source_name(number, topic));
                out.push_str(&format!("  {name}:\n    topic: {}\n", scalar(topic)));
                if number == 0 {
                    out.push_str(&options_of_source("    "));
                }
            }
        }
        out.push('\n');
    }

    fn write_tasks(&self, out: &mut String) {
        let mut from = String::new();
        if self.sources.len() > 1 {
            let topics = self.sources.iter().enumerate();
            let names: Vec<String> =
                topics.map(|(number, topic)| scalar(&source_name(number, topic))).collect();
            from = format!("    from: [{}]\n", names.join(", "));
        }
        out.push_str(&TASKS.replace("FROM", &from));
    }
}

/// The name of a source among several: its topic's, where no other part has that name.
fn source_name(number: usize, topic: &str) -> String {
    if TAKEN.contains(&topic) || topic.len() > NAME_BYTES_MAX {
        format!("source-{}", number + 1)
    } else {
        topic.to_owned()
    }
}

fn options_of_source(indent: &str) -> String {
    let options = [
        "start: latest               # where nothing is committed yet; earliest is usual",
        "event_time: at              # the time of a record, when it stands in the record",
        "max_out_of_order: 5s        # how late a record may come and still be in order",
    ];
    options.map(|option| format!("{indent}# {option}\n")).concat()
}

/// The tasks; `FROM` is a line that names the sources, or nothing.
const TASKS: &str = "\
# What is done. Each task names in `to` the tasks or sinks that get its records. The types are
# forward, filter, map, sum, count and average.
tasks:
  # Lets those records pass that have a value.
  - id: valid
    type: filter
FROM    where: value != null
    to: mean
    # on_error: dead_letter       # what becomes of a record that fails; fail (stop) is usual

  # The mean of each key, over windows of ten seconds of the records' own time.
  - id: mean
    type: average
    value: value
    window: 10s
    # key: device                 # a new key, so that equal ones meet; the record's is usual
    # grace: 5s                   # how long after its end a window still takes records
    to: sink

";

/// The test case.
const TESTS: &str = "\
# Run by `millstream pipeline test`, without a log. All windows close after the last record.
tests:
  - name: a record without a value is not averaged
    input:
      - { key: a, value: { value: 20.0 }, timestamp: \"2026-01-01T00:00:01Z\" }
      - { key: a, value: { note: broken }, timestamp: \"2026-01-01T00:00:02Z\" }
      - { key: a, value: { value: 22.0 }, timestamp: \"2026-01-01T00:00:03Z\" }
    expect:
      - { key: a, value: { average: 21.0, count: 2, window_start: \"2026-01-01T00:00:00.000Z\" } }
";
