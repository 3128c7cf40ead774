//! DescribeConfigs, key 32, versions 1 to 4.
//!
//! Topics and this broker, each with every config that Kafka lists, its value, where that comes
//! from and (on request) where it could have come from. Version 3 adds types and documentation.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::broker::Broker;
use crate::config::{Definition, Kind, Sourced, candidates, source, topic};
use crate::handler::resource;
use crate::metadata::machine::{Refusal, check_name};

/// What of each config the client wants to see.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn handle(broker: &Broker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let wanted =
        Wanted { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.into_iter().map(|resource| {
        let described = describe(broker, &resource, wanted);
        let (configs, refusal) = match described {
            Ok(configs) => (configs, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        DescribeConfigsResult {
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.0),
            error_message: refusal.map(|refusal| refusal.message),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

fn describe(
    broker: &Broker,
    asked: &DescribeConfigsResource,
    wanted: Wanted,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let listed = |name: &str| {
        asked.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == name))
    };
    match asked.resource_type {
        resource::TOPIC => describe_topic(broker, &asked.resource_name, &listed, wanted),
        resource::BROKER => describe_broker(broker, &asked.resource_name, &listed, wanted),
        resource::BROKER_LOGGER | resource::CLIENT_METRICS | resource::GROUP => Ok(Vec::new()),
        _ => {
            let message = "Unsupported resource type.";
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}

fn describe_topic(
    broker: &Broker,
    name: &str,
    listed: &dyn Fn(&str) -> bool,
    wanted: Wanted,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    check_name(name)?;
    let found = broker.metadata.topic(name).ok_or_else(|| {
        let message = "This server does not host this topic-partition.";
        Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
    })?;
    Ok(broker.metadata.with(|machine| {
        topic::DEFINITIONS
            .iter()
            .filter(|definition| listed(definition.name))
            .map(|definition| {
                let values = candidates(definition, &found.configs, machine.broker_configs());
                shown(definition, values, wanted)
            })
            .collect()
    }))
}

fn describe_broker(
    broker: &Broker,
    name: &str,
    listed: &dyn Fn(&str) -> bool,
    wanted: Wanted,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    if name.is_empty() {
        // Defaults of a whole cluster: nobody can set them here, so there are none.
        return Ok(Vec::new());
    }
    resource::check_broker(broker, name)?;
    let facts = crate::config::broker::facts(&broker.options, &broker.advertised);
    Ok(broker.metadata.with(|machine| {
        crate::config::broker::all()
            .filter(|definition| listed(definition.name))
            .map(|definition| {
                let mut values =
                    candidates(&definition, &BTreeMap::new(), machine.broker_configs());
                let fact = facts.get(definition.name);
                if let Some(fact) = fact.filter(|fact| definition.default != Some(fact.as_str())) {
                    let (name, value) = (definition.name, Some(fact.clone()));
                    values.insert(0, Sourced { name, value, source: source::STATIC_BROKER });
                }
                let mut shown = shown(&definition, values, wanted);
                shown.read_only = !crate::config::broker::is_dynamic(definition.name);
                shown
            })
            .collect()
    }))
}

fn shown(
    definition: &Definition,
    values: Vec<Sourced>,
    wanted: Wanted,
) -> DescribeConfigsResourceResult {
    let first = values.first();
    let listed = values.iter().filter(|sourced| sourced.is_listed());
    let synonym = |sourced: &Sourced| DescribeConfigsSynonym {
        name: sourced.name.to_owned(),
        value: sourced.value.clone(),
        source: sourced.source,
    };
    DescribeConfigsResourceResult {
        name: definition.name.to_owned(),
        value: first.and_then(|sourced| sourced.value.clone()),
        read_only: false,
        config_source: first.map_or(source::DEFAULT, |sourced| sourced.source),
        is_sensitive: definition.kind == Kind::Password,
        synonyms: if wanted.synonyms { listed.map(synonym).collect() } else { Vec::new() },
        config_type: definition.kind.number(),
        documentation: wanted.documentation.then(|| definition.doc.to_owned()),
    }
}
