//! `millstream schema`: the grammar of files, for editors and other programs.

use clap::{Args, Subcommand};
use topology::spec;

use crate::cli::Stage;
use crate::message::{Exit, Failure};

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream schema pipeline > pipeline-v1.json

An editor with a YAML language server reads the schema that a file's first line names:
  # yaml-language-server: $schema=./pipeline-v1.json"
)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Print the JSON Schema (draft-07) of pipeline files.
    Pipeline,
}

/// Prints the schema.
pub(crate) fn run(args: &SchemaArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let schema = match args.of {
        Of::Pipeline => spec::schema(),
    };
    stage.put(schema.as_bytes())?;
    Ok(Exit::Success)
}
