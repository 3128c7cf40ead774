//! `millstream topic`: list, create, describe, delete.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stdin};

use clap::{Args, Subcommand};
use client::admin::{ConfigResource, OffsetAt, TopicSpec};
use client::options::Isolation;
use client::{Client, ClientError};

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::config::Settings;
use crate::message::{Exit, Failure, failed};
use crate::render::lists::{self, ConfigLine, Digits, PartitionLine, TopicDetail, TopicLine};
use crate::terminal::Stream;

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream topic list
  millstream topic create readings -p 6 -c retention.ms=3600000
  millstream topic describe readings
  millstream topic delete readings"
)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the topics.
    List(ListArgs),
    /// Create topics.
    Create(CreateArgs),
    /// Show partitions and settings of topics.
    Describe(DescribeArgs),
    /// Delete topics with all their records.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The broker's own topics too.
    #[arg(long, short)]
    internal: bool,
    /// Count the records, too.
    #[arg(long)]
    records: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// Count of the partitions [default: the broker's].
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Count of the replicas [default: the broker's].
    #[arg(long, short, value_parser = clap::value_parser!(i16).range(1..))]
    replicas: Option<i16>,
    /// A setting of the topic, such as retention.ms=3600000; may be repeated.
    #[arg(long = "config-entry", short = 'c', value_name = "NAME=VALUE")]
    configs: Vec<String>,
    /// Leave topics alone that exist already.
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct DescribeArgs {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// Settings that nobody has set, too.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl TopicArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        match &self.action {
            Action::List(args) => args.cluster.settle(settings),
            Action::Create(args) => args.cluster.settle(settings),
            Action::Describe(args) => args.cluster.settle(settings),
            Action::Delete(args) => args.cluster.settle(settings),
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        match &self.action {
            Action::List(args) => args.json,
            Action::Describe(args) => args.json,
            Action::Create(_) | Action::Delete(_) => false,
        }
    }
}

/// Does it.
pub(crate) fn run(args: &TopicArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    if let Action::Delete(args) = &args.action
        && !may_delete(args)?
    {
        return Err(Failure::usage("nothing was deleted").help("delete without a question: -y"));
    }
    executor()?.block_on(async {
        let client = World::new().connect(&stage.settings, false).await?;
        let done = match &args.action {
            Action::List(args) => list(args, &client).await,
            Action::Create(args) => create(&topic_specs(args)?, args, &client).await,
            Action::Describe(args) => describe(args, &client, digits(stage)).await,
            Action::Delete(args) => delete(args, &client).await,
        };
        let (text, note) = done.map_err(|error| failed::client(&error, &stage.settings))?;
        stage.put(text.as_bytes())?;
        if !note.is_empty() {
            stage.note(&note);
        }
        Ok(Exit::Success)
    })
}

/// What goes to the output, and what is only told.
type Told = (String, String);

async fn list(args: &ListArgs, client: &Client) -> Result<Told, ClientError> {
    let mut topics = client.admin().topics().await?;
    topics.retain(|topic| args.internal || !topic.is_internal);
    let records = match args.records {
        true => {
            let partitions: Vec<(&str, i32)> = topics
                .iter()
                .flat_map(|topic| (0..topic.partition_count()).map(|it| (topic.name.as_ref(), it)))
                .collect();
            Some(records_by_topic(client, &partitions).await?)
        }
        false => None,
    };
    let line = |topic: &std::sync::Arc<client::cluster::TopicView>| TopicLine {
        name: topic.name.to_string(),
        partitions: topic.partitions.len(),
        replicas: topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
        records: records.as_ref().map(|it| it.get(topic.name.as_ref()).copied().unwrap_or(0)),
    };
    let lines: Vec<TopicLine> = topics.iter().map(line).collect();
    if args.json {
        let entry = |line: &TopicLine| {
            serde_json::json!({ "name": line.name, "partitions": line.partitions,
                "replicas": line.replicas, "records": line.records })
        };
        let entries: Vec<serde_json::Value> = lines.iter().map(entry).collect();
        return Ok((format!("{}\n", serde_json::Value::Array(entries)), String::new()));
    }
    if lines.is_empty() {
        let hint = "no topics yet; create one: millstream topic create readings";
        return Ok((String::new(), hint.to_owned()));
    }
    Ok((lists::topics(&lines, Digits::Plain), String::new()))
}

async fn records_by_topic(
    client: &Client,
    partitions: &[(&str, i32)],
) -> Result<BTreeMap<String, u64>, ClientError> {
    let (starts, ends) = ends_of(client, partitions).await?;
    let mut records = BTreeMap::new();
    for ((topic, partition), end) in ends {
        let start = starts.get(&(topic.clone(), partition)).copied().unwrap_or(0);
        let count = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
        *records.entry(topic).or_insert(0) += count;
    }
    Ok(records)
}

type Offsets = BTreeMap<(String, i32), i64>;

/// Log start and high watermark of partitions.
async fn ends_of(
    client: &Client,
    partitions: &[(&str, i32)],
) -> Result<(Offsets, Offsets), ClientError> {
    let admin = client.admin();
    let list = async |at| {
        let listed = admin.list_offsets(partitions, at, Isolation::ReadUncommitted).await?;
        Ok::<Offsets, ClientError>(listed.into_iter().map(|(key, it)| (key, it.offset)).collect())
    };
    Ok((list(OffsetAt::Earliest).await?, list(OffsetAt::Latest).await?))
}

fn topic_specs(args: &CreateArgs) -> Result<Vec<TopicSpec>, Failure> {
    let config = |text: &String| {
        let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Failure::usage(format!("-c {text} is not name=value")))
    };
    let configs: Vec<(String, String)> =
        args.configs.iter().map(config).collect::<Result<_, _>>()?;
    let spec = |name: &String| TopicSpec {
        name: name.clone(),
        partitions: args.partitions,
        replicas: args.replicas,
        configs: configs.clone(),
    };
    Ok(args.topics.iter().map(spec).collect())
}

async fn create(
    specs: &[TopicSpec],
    args: &CreateArgs,
    client: &Client,
) -> Result<Told, ClientError> {
    let mut told = Vec::new();
    for spec in specs {
        match client.admin().create_topics(std::slice::from_ref(spec)).await {
            Ok(_) => told.push(format!("created {}", spec.name)),
            Err(ClientError::TopicExists { topic }) if args.if_not_exists => {
                told.push(format!("{topic} exists already"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((String::new(), told.join("\n")))
}

async fn describe(
    args: &DescribeArgs,
    client: &Client,
    digits: Digits,
) -> Result<Told, ClientError> {
    let mut details = Vec::new();
    for name in &args.topics {
        details.push(detail(client, name, args.all).await?);
    }
    if args.json {
        let entries: Vec<serde_json::Value> = details.iter().map(json).collect();
        return Ok((format!("{}\n", serde_json::Value::Array(entries)), String::new()));
    }
    let texts: Vec<String> = details.iter().map(|detail| lists::topic(detail, digits)).collect();
    Ok((texts.join("\n"), String::new()))
}

async fn detail(client: &Client, name: &str, is_all: bool) -> Result<TopicDetail, ClientError> {
    let admin = client.admin();
    let views = admin.describe_topics(&[name]).await?;
    let missing = || ClientError::UnknownTopic { topic: name.to_owned() };
    let view = views.first().ok_or_else(missing)?;
    let partitions: Vec<(&str, i32)> = (0..view.partition_count()).map(|it| (name, it)).collect();
    let (starts, ends) = ends_of(client, &partitions).await?;
    let offset = |offsets: &Offsets, partition: i32| {
        offsets.get(&(name.to_owned(), partition)).copied().unwrap_or(-1)
    };
    let line = |(at, partition): (usize, &client::cluster::PartitionView)| {
        let number = base::cast::i32_of(at);
        PartitionLine {
            partition: number,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            in_sync: partition.in_sync.clone(),
            log_start_offset: offset(&starts, number),
            high_watermark: offset(&ends, number),
        }
    };
    let configs = admin.describe_configs(&ConfigResource::Topic(name.to_owned())).await?;
    let configs = configs.into_values().filter(|config| is_all || !config.is_default);
    let source = |is_default| if is_default { "DEFAULT_CONFIG" } else { "DYNAMIC_TOPIC_CONFIG" };
    Ok(TopicDetail {
        name: name.to_owned(),
        topic_id: view.id.to_string(),
        is_internal: view.is_internal,
        partitions: view.partitions.iter().enumerate().map(line).collect(),
        configs: configs
            .map(|config| ConfigLine {
                name: config.name,
                value: config.value,
                source: source(config.is_default).to_owned(),
            })
            .collect(),
    })
}

fn json(detail: &TopicDetail) -> serde_json::Value {
    let partition = |line: &PartitionLine| {
        serde_json::json!({ "partition": line.partition, "leader": line.leader,
            "leader_epoch": line.leader_epoch, "replicas": line.replicas, "isr": line.in_sync,
            "log_start_offset": line.log_start_offset, "high_watermark": line.high_watermark })
    };
    let config = |line: &ConfigLine| {
        let (name, value, source) = (&line.name, &line.value, &line.source);
        serde_json::json!({ "name": name, "value": value, "source": source })
    };
    serde_json::json!({
        "name": detail.name,
        "topic_id": detail.topic_id,
        "internal": detail.is_internal,
        "partitions": detail.partitions.iter().map(partition).collect::<Vec<_>>(),
        "configs": detail.configs.iter().map(config).collect::<Vec<_>>(),
    })
}

/// Somebody at a terminal is asked; a script has thought about it.
fn may_delete(args: &DeleteArgs) -> Result<bool, Failure> {
    if args.yes || !stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("delete {} with all records? [y/N] ", args.topics.join(", "));
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| failed::machine(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn delete(args: &DeleteArgs, client: &Client) -> Result<Told, ClientError> {
    let names: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    client.admin().delete_topics(&names).await?;
    Ok((String::new(), format!("deleted {}", names.join(", "))))
}

/// People read numbers more easily with their thousands apart; programs do not.
pub(crate) fn digits(stage: &Stage) -> Digits {
    if stage.facts(Stream::Output).is_terminal { Digits::Apart } else { Digits::Plain }
}
