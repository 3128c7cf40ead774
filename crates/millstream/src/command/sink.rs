//! `millstream sink`: looking into the tables of a pipeline.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sinks::sqlite::preview_file;
use topology::plan::Plan;

use crate::cli::Stage;
use crate::command::run::sink_failed;
use crate::message::{Exit, Failure};
use crate::pipeline_file;
use crate::render::plain::previews;

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream sink preview examples/machine-health.yaml
  millstream sink preview pipeline.yaml -n 3"
)]
pub(crate) struct SinkArgs {
    #[command(subcommand)]
    command: SinkCommand,
}

#[derive(Debug, Subcommand)]
enum SinkCommand {
    /// Show the newest rows of each table of a pipeline; writes nothing.
    Preview {
        /// The pipeline: one file, or a list of tasks and its configuration.
        #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Rows of each table.
        #[arg(long, short = 'n', default_value_t = 10, value_name = "N")]
        rows: usize,
    },
}

/// Runs the command.
pub(crate) fn run(args: &SinkArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let SinkCommand::Preview { files, rows } = &args.command;
    let loaded = match pipeline_file::load(files, stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let plan = Plan::of(&loaded.spec);
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let mut shown = Vec::new();
    for table in &plan.tables {
        if wanted.contains(&(table.file.as_str(), table.table.as_str())) {
            continue;
        }
        wanted.push((&table.file, &table.table));
        if !Path::new(&table.file).exists() {
            continue;
        }
        let tables = preview_file(Path::new(&table.file), *rows);
        let tables = tables.map_err(|error| sink_failed(&table.sink, &error))?;
        shown.extend(tables.into_iter().filter(|it| it.table == table.table));
    }
    if shown.is_empty() {
        stage.note("no table has rows yet: run the pipeline first");
    }
    stage.put(previews(&shown).as_bytes())?;
    Ok(Exit::Success)
}
