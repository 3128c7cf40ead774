//! `millstream group`: list and describe consumer groups, in Kafka's columns.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use client::admin::{GroupMember, GroupView, OffsetAt};
use client::options::Isolation;
use client::{Client, ClientError};
use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::wire::{Message as _, Reader};

use super::topic::digits;
use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::config::Settings;
use crate::message::{Exit, Failure, codes, failed};
use crate::render::lists::{self, GroupDetail, GroupLine, LagLine};

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream group list
  millstream group describe dashboard"
)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the groups.
    List(ListArgs),
    /// Show members, positions and lag of groups.
    Describe(DescribeArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct DescribeArgs {
    /// The groups.
    #[arg(required = true)]
    groups: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl GroupArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        match &self.action {
            Action::List(args) => args.cluster.settle(settings),
            Action::Describe(args) => args.cluster.settle(settings),
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        match &self.action {
            Action::List(args) => args.json,
            Action::Describe(args) => args.json,
        }
    }
}

/// Does it.
pub(crate) fn run(args: &GroupArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    executor()?.block_on(async {
        let client = World::new().connect(&stage.settings, false).await?;
        match &args.action {
            Action::List(args) => list(args, &client, stage).await,
            Action::Describe(args) => describe(args, &client, stage).await,
        }
    })
}

async fn list(args: &ListArgs, client: &Client, stage: &mut Stage) -> Result<Exit, Failure> {
    let listed = client.admin().list_groups().await;
    let listed = listed.map_err(|error| failed::client(&error, &stage.settings))?;
    let line = |listing: client::admin::GroupListing| GroupLine {
        group: listing.group,
        protocol_type: listing.protocol_type,
        state: listing.state,
    };
    let mut lines: Vec<GroupLine> = listed.into_iter().map(line).collect();
    lines.sort_by(|left, right| left.group.cmp(&right.group));
    if args.json {
        let entry = |line: &GroupLine| {
            serde_json::json!({ "group": line.group, "protocol_type": line.protocol_type,
                "state": line.state })
        };
        let entries: Vec<serde_json::Value> = lines.iter().map(entry).collect();
        stage.line(&serde_json::Value::Array(entries).to_string())?;
    } else if lines.is_empty() {
        stage.note("no groups yet; make one: millstream consume TOPIC -g NAME");
    } else {
        stage.put(lists::groups(&lines).as_bytes())?;
    }
    Ok(Exit::Success)
}

async fn describe(
    args: &DescribeArgs,
    client: &Client,
    stage: &mut Stage,
) -> Result<Exit, Failure> {
    let mut details = Vec::new();
    for group in &args.groups {
        let found = detail(client, group).await;
        let found = found.map_err(|error| failed::client(&error, &stage.settings))?;
        details.push(found.ok_or_else(|| {
            let what = format!("group {group:?} does not exist");
            Failure::new(Exit::Failed, codes::UNKNOWN_GROUP, what)
                .help("see what there is with `millstream group list`")
        })?);
    }
    if args.json {
        let entries: Vec<serde_json::Value> = details.iter().map(json).collect();
        stage.line(&serde_json::Value::Array(entries).to_string())?;
        return Ok(Exit::Success);
    }
    let digits = digits(stage);
    let texts: Vec<String> = details.iter().map(|detail| lists::group(detail, digits)).collect();
    stage.put(texts.join("\n").as_bytes())?;
    Ok(Exit::Success)
}

/// Everything about a group; nothing when there is no such group.
async fn detail(client: &Client, group: &str) -> Result<Option<GroupDetail>, ClientError> {
    let admin = client.admin();
    let view = admin.describe_group(group).await?;
    let committed = admin.committed_offsets(group, None, false).await?;
    if view.state == "Dead" && committed.is_empty() {
        return Ok(None);
    }
    let owners = owners(&view);
    let mut current: BTreeMap<(String, i32), i64> =
        committed.into_iter().map(|(key, found)| (key, found.offset)).collect();
    for key in owners.keys() {
        current.entry(key.clone()).or_insert(-1);
    }
    let ends = ends(client, current.keys()).await?;
    let line = |((topic, partition), current_offset): ((String, i32), i64)| {
        let key = (topic, partition);
        let owner = owners.get(&key).copied();
        let text = |part: fn(&GroupMember) -> &String| owner.map(part).cloned();
        LagLine {
            current_offset,
            log_end_offset: ends.get(&key).copied().unwrap_or(-1),
            consumer_id: text(|owner| &owner.member).unwrap_or_default(),
            host: text(|owner| &owner.client_host).unwrap_or_default(),
            client_id: text(|owner| &owner.client_id).unwrap_or_default(),
            topic: key.0,
            partition,
        }
    };
    let lags = current.into_iter().map(line).collect();
    let coordinator = admin.group_coordinator(group).await?;
    let members = view.members.len();
    Ok(Some(GroupDetail {
        group: group.to_owned(),
        state: view.state.clone(),
        coordinator,
        balancer: view.protocol.clone(),
        members,
        lags,
    }))
}

/// Which member has which partition. What another protocol assigned is its own secret.
fn owners(view: &GroupView) -> BTreeMap<(String, i32), &GroupMember> {
    let mut owners = BTreeMap::new();
    for member in view.members.iter().filter(|_| view.protocol_type == "consumer") {
        let mut reader = Reader::new(&member.assignment);
        let Ok(version) = reader.int16() else { continue };
        let Ok(assigned) = ConsumerProtocolAssignment::decode(&mut reader, version) else {
            continue;
        };
        for topic in assigned.assigned_partitions {
            for partition in topic.partitions {
                owners.insert((topic.topic.clone(), partition), member);
            }
        }
    }
    owners
}

/// High watermarks; topics that are gone have none.
async fn ends(
    client: &Client,
    partitions: impl Iterator<Item = &(String, i32)>,
) -> Result<BTreeMap<(String, i32), i64>, ClientError> {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let mut ends = BTreeMap::new();
    for (topic, partitions) in by_topic {
        let asked: Vec<(&str, i32)> = partitions.iter().map(|it| (topic, *it)).collect();
        let isolation = Isolation::ReadUncommitted;
        match client.admin().list_offsets(&asked, OffsetAt::Latest, isolation).await {
            Ok(listed) => ends.extend(listed.into_iter().map(|(key, found)| (key, found.offset))),
            Err(ClientError::UnknownTopic { .. } | ClientError::UnknownPartition { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ends)
}

fn json(detail: &GroupDetail) -> serde_json::Value {
    let lag = |line: &LagLine| {
        let current = Some(line.current_offset).filter(|offset| *offset >= 0);
        let lag = Some(line.lag()).filter(|lag| *lag >= 0);
        serde_json::json!({ "topic": line.topic, "partition": line.partition,
            "current_offset": current, "log_end_offset": line.log_end_offset, "lag": lag,
            "consumer_id": line.consumer_id, "host": line.host, "client_id": line.client_id })
    };
    serde_json::json!({
        "group": detail.group,
        "state": detail.state,
        "coordinator": detail.coordinator,
        "balancer": detail.balancer,
        "members": detail.members,
        "partitions": detail.lags.iter().map(lag).collect::<Vec<_>>(),
    })
}
