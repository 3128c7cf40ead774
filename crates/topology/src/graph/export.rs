//! A picture in the languages of other drawing programs.

use super::{Picture, Role};

/// The picture in the language of Graphviz.
#[must_use]
pub fn dot(picture: &Picture, name: &str) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n", escaped(name));
    for (index, spot) in picture.spots.iter().enumerate() {
        let shape = match spot.role {
            Role::Source | Role::Sink => "cds",
            Role::Task => "box",
            Role::Table => "cylinder",
        };
        let label = escaped(&spot.label);
        out.push_str(&format!("  n{index} [label=\"{label}\", shape={shape}];\n"));
    }
    for (from, to, topic) in &picture.lines {
        let label = topic.as_ref().map(|topic| format!(" [label=\"{}\"]", escaped(topic)));
        out.push_str(&format!("  n{from} -> n{to}{};\n", label.unwrap_or_default()));
    }
    out.push_str("}\n");
    out
}

/// The picture in the language of Mermaid.
#[must_use]
pub fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, spot) in picture.spots.iter().enumerate() {
        let (open, close) = match spot.role {
            Role::Source | Role::Sink => (">\"", "\"]"),
            Role::Task => ("[\"", "\"]"),
            Role::Table => ("[(\"", "\")]"),
        };
        let label = spot.label.replace('"', "#quot;");
        out.push_str(&format!("  n{index}{open}{label}{close}\n"));
    }
    for (from, to, topic) in &picture.lines {
        let label = topic.as_ref().map(|topic| format!("|{}|", topic.replace('|', "#124;")));
        out.push_str(&format!("  n{from} -->{} n{to}\n", label.unwrap_or_default()));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
