//! `cargo xtask golden`: the bytes of Kafka's own classes, written to the codec's golden files.
//!
//! Their output is committed, so that nobody needs Java to test the codec.

use crate::{kafka, workspace};

const PROGRAM: &str = "xtask/java/Golden.java";
const FOLDER: &str = "crates/protocol/tests/golden";

/// Writes the golden files.
pub(crate) fn run() -> Result<(), String> {
    if let Some(missing) = kafka::missing() {
        return Err(format!("golden files are made by Kafka's jars: {missing}"));
    }
    workspace::run(kafka::java()?.args([PROGRAM, FOLDER]))
}
