//! IncrementalAlterConfigs, key 44, versions 0 and 1.
//!
//! Sets, deletes, appends to and subtracts from configs of topics and of this broker; of the
//! broker's only those that are the topics' defaults. A resource is changed wholly or not at all.

use std::collections::{BTreeMap, BTreeSet};

use protocol::error_code::ErrorCode;
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use crate::broker::Broker;
use crate::config::{Definition, Kind, broker as broker_config, candidates, topic};
use crate::handler::{Call, resource};
use crate::metadata::machine::{MetadataEvent, Refusal};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Names with their new values, or none to go back to the default.
type Changes = BTreeMap<String, Option<String>>;

pub(crate) async fn handle(
    broker: &Broker,
    _call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut response = IncrementalAlterConfigsResponse::default();
    let mut seen = BTreeSet::new();
    for resource in request.resources {
        let outcome = if seen.insert((resource.resource_type, resource.resource_name.clone())) {
            alter(broker, &resource, request.validate_only).await
        } else {
            let message = "Each resource must appear at most once.";
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        };
        let refusal = outcome.err();
        response.responses.push(AlterConfigsResourceResponse {
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.0),
            error_message: refusal.map(|refusal| refusal.message),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    response
}

async fn alter(
    broker: &Broker,
    asked: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refusal> {
    let event = match asked.resource_type {
        resource::TOPIC => alter_topic(broker, asked)?,
        resource::BROKER => alter_broker(broker, asked)?,
        other => {
            let message = format!("Unexpected resource type {other}.");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    };
    if validate_only {
        return Ok(());
    }
    broker.metadata.change(event).await.map(|_| ())
}

fn alter_topic(broker: &Broker, asked: &AlterConfigsResource) -> Result<MetadataEvent, Refusal> {
    let name = &asked.resource_name;
    if name.is_empty() {
        let message = "Default topic resources are not allowed.";
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let found = broker.metadata.topic(name).ok_or_else(|| {
        let message = format!("The topic '{name}' does not exist.");
        Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
    })?;
    let changes = changes(asked, |config| {
        let unknown = || {
            let message = format!("Unknown topic config name: {}", config.name);
            Refusal::new(ErrorCode::INVALID_CONFIG, message)
        };
        let definition = topic::find(&config.name).ok_or_else(unknown)?;
        let now = broker.metadata.with(|machine| {
            candidates(definition, &found.configs, machine.broker_configs()).into_iter().next()
        });
        changed(definition, config, now.and_then(|first| first.value))
    })?;
    Ok(MetadataEvent::AlterTopic { name: name.clone(), changes })
}

fn alter_broker(broker: &Broker, asked: &AlterConfigsResource) -> Result<MetadataEvent, Refusal> {
    if !asked.resource_name.is_empty() {
        resource::check_broker(broker, &asked.resource_name)?;
    }
    let changes = changes(asked, |config| {
        let name = &config.name;
        let definition = broker_config::find(name)
            .filter(|_| broker_config::is_dynamic(name))
            .ok_or_else(|| {
                let message = format!("Cannot update these configs dynamically: [{name}]");
                Refusal::new(ErrorCode::INVALID_REQUEST, message)
            })?;
        let now = broker.metadata.with(|machine| {
            candidates(&definition, &BTreeMap::new(), machine.broker_configs()).into_iter().next()
        });
        changed(&definition, config, now.and_then(|first| first.value))
    })?;
    Ok(MetadataEvent::AlterBroker { changes })
}

fn changes(
    asked: &AlterConfigsResource,
    change: impl Fn(&AlterableConfig) -> Result<Option<String>, Refusal>,
) -> Result<Changes, Refusal> {
    let mut changes = Changes::new();
    for config in &asked.configs {
        if changes.insert(config.name.clone(), change(config)?).is_some() {
            let message = "Error due to duplicate config keys";
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    }
    Ok(changes)
}

/// The value that an operation leaves behind, `None` for the default.
fn changed(
    definition: &Definition,
    config: &AlterableConfig,
    now: Option<String>,
) -> Result<Option<String>, Refusal> {
    let name = &config.name;
    let value = match (config.config_operation, &config.value) {
        (DELETE, _) => return Ok(None),
        (SET | APPEND | SUBTRACT, None) => {
            let message = format!("Null value not supported for : {name}");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        (SET, Some(value)) => value.clone(),
        (APPEND, Some(value)) => join(definition, now, |list| {
            list.extend(value.split(',').map(str::to_owned));
            list.dedup();
        })?,
        (SUBTRACT, Some(value)) => join(definition, now, |list| {
            list.retain(|item| !value.split(',').any(|gone| gone == item));
        })?,
        (other, _) => {
            let message = format!("Unknown operation type {other}");
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    };
    match definition.check(&value) {
        Ok(()) => Ok(Some(value)),
        Err(message) => Err(Refusal::new(ErrorCode::INVALID_CONFIG, message)),
    }
}

fn join(
    definition: &Definition,
    now: Option<String>,
    edit: impl FnOnce(&mut Vec<String>),
) -> Result<String, Refusal> {
    if definition.kind != Kind::List {
        let name = definition.name;
        let message = format!("Can't APPEND to key {name} because its type is not LIST.");
        return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
    }
    let now = now.unwrap_or_default();
    let mut list: Vec<String> =
        now.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
    edit(&mut list);
    Ok(list.join(","))
}
