//! The grammar of the command line, and what every command has at hand.

use std::io::{Stdout, stdout};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::command;
use crate::config::{Given, Settings, env_file, unused_variables};
use crate::logging;
use crate::message::{Exit, Failure, failed};
use crate::pipeline_file;
use crate::terminal::{ColourChoice, Output, Stream, TerminalFacts};

/// A Kafka-compatible log and an exactly-once pipeline engine in one program.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    subcommand_required = true,
    before_help = "Examples:
  millstream up                              a log on 127.0.0.1:9092
  echo hello | millstream produce greetings
  millstream consume greetings -o start"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// A properties file with settings, as Kafka's clients read it; or, when its name ends in
    /// .yaml, the configuration of a list of tasks.
    #[arg(long, short = 'F', visible_alias = "command-config", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file with variables of the environment; `up` and `run` read ./.env by themselves.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// A setting under its Kafka name, such as linger.ms=5; may be repeated.
    #[arg(short = 'X', long = "set", global = true, value_name = "NAME=VALUE")]
    overrides: Vec<String>,
    /// Colours: auto, always or never.
    #[arg(long, global = true, value_name = "WHEN")]
    color: Option<String>,
    /// Only what was asked for, and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Tell more in the log; twice for everything.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log lines as text or json; json is usual where standard error is no terminal.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline, until Ctrl-C or its end.
    Run(command::run::RunArgs),
    /// Run the log alone, until Ctrl-C.
    Up(command::up::UpArgs),
    /// Be a node of a cluster that runs pipelines.
    Serve(command::serve::ServeArgs),
    /// Be a job manager; the same as serve --roles jobmanager.
    Jobmanager(command::serve::ManagerArgs),
    /// Be a task manager; the same as serve --roles taskmanager.
    Taskmanager(command::serve::WorkerArgs),
    /// Put records into topics, from standard input.
    Produce(command::produce::ProduceArgs),
    /// Print records of topics.
    Consume(command::consume::ConsumeArgs),
    /// List, create, describe and delete topics.
    Topic(command::topic::TopicArgs),
    /// List and describe consumer groups.
    Group(command::group::GroupArgs),
    /// Measure a cluster with our own client.
    Bench(command::bench::BenchArgs),
    /// Check, draw and explain pipelines.
    Pipeline(command::pipeline::PipelineArgs),
    /// List records that failed, and let the keys behind them go on.
    Dlq(command::dlq::DlqArgs),
    /// Look at what the tasks of a pipeline remember.
    State(command::state::StateArgs),
    /// Look into the tables of a pipeline.
    Sink(command::sink::SinkArgs),
    /// Print the grammar of pipeline files, for editors.
    Schema(command::schema::SchemaArgs),
    /// Say what an error code means.
    Explain(command::explain::ExplainArgs),
    /// Print the version.
    Version(command::version::VersionArgs),
}

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The settings of this run.
    pub(crate) settings: Settings,
    /// Standard output.
    pub(crate) output: Output<Stdout>,
    /// Only what was asked for, and errors.
    pub(crate) is_quiet: bool,
    /// The colour setting.
    pub(crate) colour: ColourChoice,
    /// The configuration of a list of tasks that --config names.
    pub(crate) configuration: Option<PathBuf>,
}

impl Stage {
    /// Writes a line to standard output at once.
    ///
    /// # Errors
    /// What the stream says, unless its reader has only left.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.put(text.as_bytes())?;
        self.put(b"\n")?;
        self.flush()
    }

    /// Writes bytes to standard output, some time.
    ///
    /// # Errors
    /// As [`Stage::line`].
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.output.put(bytes).map_err(|error| failed::machine(&error))
    }

    /// Hands everything on.
    ///
    /// # Errors
    /// As [`Stage::line`].
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush().map_err(|error| failed::machine(&error))
    }

    /// Tells something beside the output, unless told to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            eprintln!("{text}");
        }
    }

    /// What standard output or standard error can show.
    pub(crate) fn facts(&self, stream: Stream) -> TerminalFacts {
        TerminalFacts::gather(self.colour, stream)
    }
}

impl Command {
    /// Whether the command runs a broker in this process, and so reads its settings and logs.
    fn is_broker(&self) -> bool {
        match self {
            Self::Up(_) | Self::Run(_) | Self::Dlq(_) => true,
            Self::Pipeline(args) => args.is_broker(),
            _ => false,
        }
    }

    /// Whether the command serves until it is stopped, and so logs what it does.
    fn is_service(&self) -> bool {
        self.is_broker()
            || matches!(self, Self::Serve(_) | Self::Jobmanager(_) | Self::Taskmanager(_))
    }

    /// Whether failures are told as JSON too.
    fn is_json(&self) -> bool {
        match self {
            Self::Up(args) => args.json,
            Self::Consume(args) => args.json,
            Self::Topic(args) => args.is_json(),
            Self::Group(args) => args.is_json(),
            Self::Bench(args) => args.is_json(),
            Self::Pipeline(args) => args.is_json(),
            Self::Dlq(args) => args.is_json(),
            Self::State(args) => args.is_json(),
            Self::Version(args) => args.json,
            Self::Run(_)
            | Self::Serve(_)
            | Self::Jobmanager(_)
            | Self::Taskmanager(_)
            | Self::Produce(_)
            | Self::Sink(_)
            | Self::Schema(_)
            | Self::Explain(_) => false,
        }
    }

    fn settle(&self, settings: &mut Settings) {
        match self {
            Self::Run(args) => args.settle(settings),
            Self::Up(args) => args.settle(settings),
            Self::Serve(args) => args.settle(settings),
            Self::Jobmanager(args) => args.node.settle(settings),
            Self::Taskmanager(args) => args.node.settle(settings),
            Self::Produce(args) => args.settle(settings),
            Self::Consume(args) => args.settle(settings),
            Self::Topic(args) => args.settle(settings),
            Self::Group(args) => args.settle(settings),
            Self::Bench(args) => args.settle(settings),
            Self::Pipeline(args) => args.settle(settings),
            Self::Dlq(args) => args.settle(settings),
            Self::State(args) => args.settle(settings),
            Self::Sink(_) | Self::Schema(_) | Self::Explain(_) | Self::Version(_) => {}
        }
    }

    fn run(&self, stage: &mut Stage) -> Result<Exit, Failure> {
        match self {
            Self::Run(args) => command::run::run(args, stage),
            Self::Up(args) => command::up::run(args, stage),
            Self::Serve(args) => command::serve::run(args, stage),
            Self::Jobmanager(args) => command::serve::run_manager(args, stage),
            Self::Taskmanager(args) => command::serve::run_worker(args, stage),
            Self::Produce(args) => command::produce::run(args, stage),
            Self::Consume(args) => command::consume::run(args, stage),
            Self::Topic(args) => command::topic::run(args, stage),
            Self::Group(args) => command::group::run(args, stage),
            Self::Bench(args) => command::bench::run(args, stage),
            Self::Pipeline(args) => command::pipeline::run(args, stage),
            Self::Dlq(args) => command::dlq::run(args, stage),
            Self::State(args) => command::state::run(args, stage),
            Self::Sink(args) => command::sink::run(args, stage),
            Self::Schema(args) => command::schema::run(args, stage),
            Self::Explain(args) => command::explain::run(args, stage),
            Self::Version(args) => command::version::run(args, stage),
        }
    }
}

impl Cli {
    /// Whether failures are told as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.command.is_json()
    }

    /// Runs the command.
    ///
    /// # Errors
    /// What the person at the terminal has to be told.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut stage = self.stage()?;
        if let Err(told) = pipeline_file::configure(&mut stage) {
            return told;
        }
        let ended = self.command.run(&mut stage);
        let flushed = stage.flush();
        ended.and_then(|exit| flushed.map(|()| exit))
    }

    fn stage(&self) -> Result<Stage, Failure> {
        let globals = &self.globals;
        let is_broker = self.command.is_broker();
        // Variables that are no text cannot be ours: all of ours are.
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for warning in unused_variables(&environment) {
            eprintln!("{warning}");
        }
        let named = |variable: &str| {
            let found = environment.iter().find(|(name, _)| name == variable);
            found.map(|(_, path)| PathBuf::from(path))
        };
        let config = globals.config.clone().or_else(|| named("MILLSTREAM_CONFIG"));
        let named_env = globals.env_file.clone().or_else(|| named("MILLSTREAM_ENV_FILE"));
        let is_yaml =
            |path: &PathBuf| path.extension().is_some_and(|it| it == "yaml" || it == "yml");
        let (configuration, config) = match config {
            Some(path) if is_yaml(&path) => (Some(path), None),
            config => (None, config),
        };
        let given = Given {
            overrides: globals.overrides.clone(),
            env_file: env_file(named_env.as_deref(), is_broker),
            environment,
            config,
            is_broker,
        };
        let mut settings = Settings::load(&given)?;
        settings.flag("color", "--color", globals.color.clone());
        settings.flag("log-format", "--log-format", globals.log_format.clone());
        self.command.settle(&mut settings);
        let colour = settings.read("color", "auto, always or never", |text| match text {
            "auto" => Some(ColourChoice::Auto),
            "always" => Some(ColourChoice::Always),
            "never" => Some(ColourChoice::Never),
            _ => None,
        })?;
        let colour = colour.unwrap_or_default();
        let messages = TerminalFacts::gather(colour, Stream::Messages);
        let level = level(globals, self.command.is_service() && !messages.is_terminal);
        logging::start(&settings, level, messages.colour())?;
        let (output, is_quiet) = (Output::new(stdout()), globals.quiet);
        Ok(Stage { settings, output, is_quiet, colour, configuration })
    }
}

/// Services tell what they do; commands only what goes wrong.
fn level(globals: &Globals, is_service: bool) -> tracing::Level {
    match (globals.quiet, globals.verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, 0) if is_service => tracing::Level::INFO,
        (false, 0) => tracing::Level::WARN,
        (false, 1) => tracing::Level::INFO,
        (false, _) => tracing::Level::DEBUG,
    }
}
