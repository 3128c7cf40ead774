//! `millstream pipeline`: what can be said of a pipeline, and what a cluster is to do with it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use coordination::request::Ask;
use topology::diagnose::{Diagnostic, Look, Paint, Sources, code, render, render_json};
use topology::graph::{Ink, Picture, dot, draw, mermaid};
use topology::lint::Loaded;
use topology::plan::Plan;
use topology::spec::{Delivery, Form, Spec, echo, upgrade};

use crate::cli::Stage;
use crate::config::Settings;
use crate::message::{Exit, Failure};
use crate::pipeline_file;
use crate::terminal::Stream;

pub(crate) use control::refused;

use standing::Scope;

mod control;
mod figures;
mod history;
mod init;
mod outline;
mod rehearse;
mod reset;
mod rewind;
mod standing;
mod tap;
pub(crate) mod tapped;
mod which;

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream pipeline init totals.yaml --from orders/totals
  millstream pipeline lint examples/machine-health.yaml
  millstream pipeline graph examples/machine-health.yaml
  millstream pipeline graph pipeline.yaml --output dot | dot -Tsvg > pipeline.svg
  millstream pipeline explain pipeline.yaml         its stages, topics and groups
  millstream pipeline test pipeline.yaml
  millstream pipeline reset pipeline.yaml --task mean
  millstream pipeline apply pipeline.yaml           on the task managers of a cluster
  millstream pipeline status
  millstream pipeline tap pipeline.yaml seen        the records of an edge, as they come
  millstream pipeline reset pipeline --to -1h --yes begin elsewhere; it must not run
  millstream pipeline upgrade tasks.yaml config.yaml > pipeline.yaml"
)]
pub(crate) struct PipelineArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a first file, with comments, to be changed.
    Init(init::InitArgs),
    /// Check a pipeline and tell all that is wrong with it.
    Lint(LintArgs),
    /// Draw it.
    Graph(GraphArgs),
    /// Show how it would run: stages, topics, groups, state, tables.
    Explain(ExplainArgs),
    /// Run the test cases of the file, without a log.
    Test(rehearse::TestArgs),
    /// Forget what a pipeline has done: its state and its positions.
    Reset(reset::ResetArgs),
    /// Let a cluster run it, or run it by another file from now on.
    Apply(control::ApplyArgs),
    /// List the pipelines of a cluster.
    List(standing::StandingArgs),
    /// Show who runs what of the pipelines of a cluster.
    Status(standing::StandingArgs),
    /// Show the records of an edge as they come.
    Tap(tap::TapArgs),
    /// Tell who has run a pipeline, when, and what was different.
    History(history::HistoryArgs),
    /// Let a pipeline of a cluster rest; its positions and its state stay.
    Pause(control::JobArgs),
    /// Let a pipeline that rests, has been stopped or has failed go on.
    Resume(control::JobArgs),
    /// End a pipeline of a cluster; its positions and its state stay.
    Stop(control::JobArgs),
    /// Let all slots of a pipeline begin anew, from what is committed.
    Restart(control::JobArgs),
    /// Let a pipeline run on more slots or fewer, without a stop; its tasks move with their state.
    Scale(control::ScaleArgs),
    /// Write a file of the old form in the new one.
    Upgrade(UpgradeArgs),
    /// Write a file as it is understood, with all that it leaves out.
    Echo(EchoArgs),
}

/// The file or files of a pipeline.
#[derive(Debug, Args)]
struct FileArgs {
    /// The pipeline: one file, or a list of tasks and its configuration.
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct LintArgs {
    #[command(flatten)]
    file: FileArgs,
    /// How problems are shown.
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: LintForm,
    /// Print JSON; the same as --output json.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LintForm {
    /// For people.
    Text,
    /// As data.
    Json,
    /// As annotations of a build service.
    Github,
}

#[derive(Debug, Args)]
struct GraphArgs {
    #[command(flatten)]
    file: FileArgs,
    /// What is written.
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: GraphForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphForm {
    /// A drawing for terminals.
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, Args)]
struct UpgradeArgs {
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, Args)]
struct EchoArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Write it in the new form; the same as `pipeline upgrade`.
    #[arg(long)]
    upgrade: bool,
}

impl PipelineArgs {
    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        match &self.action {
            Action::Lint(args) => args.json || args.output == LintForm::Json,
            Action::Test(args) => args.json,
            Action::List(args) | Action::Status(args) => args.json,
            Action::Tap(args) => args.json,
            Action::History(args) => args.json,
            Action::Init(_)
            | Action::Graph(_)
            | Action::Explain(_)
            | Action::Upgrade(_)
            | Action::Echo(_)
            | Action::Apply(_)
            | Action::Pause(_)
            | Action::Resume(_)
            | Action::Stop(_)
            | Action::Restart(_)
            | Action::Scale(_)
            | Action::Reset(_) => false,
        }
    }

    /// Whether the action may run a log in this process.
    pub(crate) fn is_broker(&self) -> bool {
        matches!(self.action, Action::Reset(_))
    }

    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        match &self.action {
            Action::Reset(args) => args.settle(settings),
            Action::Apply(args) => args.settle(settings),
            Action::Scale(args) => args.settle(settings),
            Action::List(args) | Action::Status(args) => args.settle(settings),
            Action::Tap(args) => args.settle(settings),
            Action::History(args) => args.settle(settings),
            Action::Pause(args)
            | Action::Resume(args)
            | Action::Stop(args)
            | Action::Restart(args) => args.settle(settings),
            Action::Init(_)
            | Action::Lint(_)
            | Action::Graph(_)
            | Action::Explain(_)
            | Action::Test(_)
            | Action::Upgrade(_)
            | Action::Echo(_) => {}
        }
    }
}

/// Does it.
pub(crate) fn run(args: &PipelineArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let show: fn(&Loaded, &PipelineArgs, &Stage) -> Result<String, Failure> = match &args.action {
        Action::Init(args) => return init::run(args, stage),
        Action::Lint(lint) => return run_lint(lint, stage),
        Action::Test(args) => return rehearse::run(args, stage),
        Action::Reset(args) => return reset::run(args, stage),
        Action::Apply(args) => return control::apply(args, stage),
        Action::List(args) => return standing::show(args, Scope::Pipelines, stage),
        Action::Status(args) => return standing::show(args, Scope::Slots, stage),
        Action::Tap(args) => return tap::run(args, stage),
        Action::History(args) => return history::run(args, stage),
        Action::Pause(args) => return control::put(Ask::Pause { job: args.job() }, stage),
        Action::Resume(args) => return control::put(Ask::Resume { job: args.job() }, stage),
        Action::Stop(args) => return control::put(Ask::Stop { job: args.job() }, stage),
        Action::Restart(args) => return control::put(Ask::Restart { job: args.job() }, stage),
        Action::Scale(args) => return control::put(args.ask(), stage),
        Action::Graph(_) => graph,
        Action::Explain(_) => |loaded, _, _| Ok(outline::text(&loaded.spec)),
        Action::Echo(args) if !args.upgrade => |loaded, _, _| Ok(echo(&loaded.spec)),
        Action::Upgrade(_) | Action::Echo(_) => |loaded, _, _| upgraded(&loaded.spec),
    };
    let loaded = match pipeline_file::load(args.files(), stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let text = show(&loaded, args, stage)?;
    stage.put(text.as_bytes())?;
    Ok(Exit::Success)
}

impl PipelineArgs {
    fn files(&self) -> &[PathBuf] {
        match &self.action {
            Action::Init(_)
            | Action::List(_)
            | Action::Status(_)
            | Action::Tap(_)
            | Action::History(_)
            | Action::Pause(_)
            | Action::Resume(_)
            | Action::Stop(_)
            | Action::Restart(_)
            | Action::Scale(_) => &[],
            Action::Apply(args) => args.files(),
            Action::Lint(args) => &args.file.files,
            Action::Graph(args) => &args.file.files,
            Action::Explain(args) => &args.file.files,
            Action::Upgrade(args) => &args.file.files,
            Action::Echo(args) => &args.file.files,
            Action::Test(args) => args.files(),
            Action::Reset(args) => args.files(),
        }
    }
}

/// What is wrong is what was asked for, so it goes to the output.
fn run_lint(args: &LintArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let sources = pipeline_file::read(&args.file.files, stage)?;
    let form = if args.json { LintForm::Json } else { args.output };
    let (diagnostics, verdict, exit) = match pipeline_file::check(&sources) {
        Ok(loaded) => {
            let name = args.file.files.iter().map(|file| file.display().to_string());
            let name = name.collect::<Vec<_>>().join(" ");
            (loaded.remarks, Some(verdict(&name, &loaded.spec)), Exit::Success)
        }
        Err(diagnostics) => (diagnostics, None, Exit::Failed),
    };
    // What is promised stands in the verdict, in a line each; programs read it as remarks.
    let is_shown = |it: &Diagnostic| form != LintForm::Text || it.code != code::GUARANTEE;
    let told: Vec<Diagnostic> = diagnostics.into_iter().filter(is_shown).collect();
    let mut text = shown(&told, &sources, (form, stage));
    if let Some(verdict) = verdict.filter(|_| form == LintForm::Text) {
        text.insert_str(0, &verdict);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    stage.put(text.as_bytes())?;
    Ok(exit)
}

fn shown(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    (form, stage): (LintForm, &Stage),
) -> String {
    let facts = stage.facts(Stream::Output);
    let look = match form {
        LintForm::Json => return render_json(diagnostics, sources),
        LintForm::Github => Look::Github,
        LintForm::Text if !facts.is_terminal => Look::Plain,
        LintForm::Text if facts.unicode() => Look::Boxes,
        LintForm::Text => Look::Ascii,
    };
    let is_coloured = form == LintForm::Text && facts.colour();
    render(diagnostics, sources, look, if is_coloured { Paint::Ansi } else { Paint::Off })
}

/// `ok  greenhouse.yaml   3 tasks, 1 source, 2 sinks, exactly_once`
fn verdict(name: &str, spec: &Spec) -> String {
    let many = |count: usize, word: &str| {
        let ending = if count == 1 { "" } else { "s" };
        format!("{count} {word}{ending}")
    };
    let delivery = match spec.runtime.delivery {
        Delivery::ExactlyOnce => "exactly_once",
        Delivery::AtLeastOnce => "at_least_once",
    };
    let (tasks, sources) = (many(spec.tasks.len(), "task"), many(spec.sources.len(), "source"));
    let sinks = many(spec.sinks.len(), "sink");
    format!("ok  {name}   {tasks}, {sources}, {sinks}, {delivery}\n{}", promises(spec))
}

/// What is promised of each way from a source to where results go, and why.
fn promises(spec: &Spec) -> String {
    let mut text = String::new();
    for path in Plan::of(spec).paths() {
        let (source, target, promise) = (&path.source, &path.target, path.guarantee);
        text.push_str(&format!("  {source} -> {target}: {promise}\n"));
        for reason in &path.reasons {
            text.push_str(&format!("    {reason}\n"));
        }
    }
    text
}

fn graph(loaded: &Loaded, args: &PipelineArgs, stage: &Stage) -> Result<String, Failure> {
    let picture = Picture::of(&loaded.spec);
    let facts = stage.facts(Stream::Output);
    let form = match &args.action {
        Action::Graph(args) => args.output,
        _ => GraphForm::Text,
    };
    Ok(match form {
        GraphForm::Dot => dot(&picture, &loaded.spec.name.value),
        GraphForm::Mermaid => mermaid(&picture),
        GraphForm::Text => {
            let ink = if facts.unicode() { Ink::Boxes } else { Ink::Ascii };
            draw(&picture, ink, facts.width())
        }
    })
}

fn upgraded(spec: &Spec) -> Result<String, Failure> {
    match spec.form {
        Form::Legacy => Ok(upgrade(spec)),
        Form::Full => Err(Failure::usage("the file is of the new form already")),
    }
}
