//! Which pipeline is meant: by its file, or by the name under which a cluster has it.

use std::path::Path;

use client::Client;
use coordination::reader;
use pipeline::cluster;
use topology::plan::Plan;
use topology::spec::Spec;

use crate::cli::Stage;
use crate::command::serve::coordination_failed;
use crate::message::{Exit, Failure, codes, failed};
use crate::pipeline_file;

/// What was said.
#[derive(Debug)]
pub(super) enum Which {
    /// A file that was read.
    File(Box<Spec>),
    /// A name.
    Name(String),
}

impl Which {
    /// Takes what is a file for a file, and lets the addresses in it count.
    ///
    /// # Errors
    /// What is to be told of a file that is none; the exit when it was told.
    pub(super) fn read(text: &str, stage: &mut Stage) -> Result<Self, Result<Exit, Failure>> {
        let path = Path::new(text);
        let is_file = path.extension().is_some() && path.exists();
        if !is_file {
            return Ok(Self::Name(text.to_owned()));
        }
        let loaded = pipeline_file::load(&[path.to_path_buf()], stage)?;
        let named = loaded.spec.brokers.as_ref().map(|brokers| brokers.value.clone());
        let named = named.filter(|brokers| brokers != "embedded");
        stage.settings.pipeline("brokers", "cluster.brokers", named);
        Ok(Self::File(Box::new(loaded.spec)))
    }

    /// Its plan.
    ///
    /// # Errors
    /// MS-3011 for a name that was never applied to the cluster.
    pub(super) async fn plan(&self, client: &Client, stage: &Stage) -> Result<Plan, Failure> {
        let name = match self {
            Self::File(spec) => return Ok(Plan::of(spec)),
            Self::Name(name) => name,
        };
        let unknown = || {
            let what = format!("there is no pipeline `{name}` in the cluster, and no such file");
            Failure::new(Exit::Failed, codes::NO_JOB, what)
                .help("name the file of a pipeline that was never applied")
                .help("`millstream pipeline list` shows those that there are")
        };
        let topics = client.admin().topics().await;
        let topics = topics.map_err(|error| failed::client(&error, &stage.settings))?;
        if !topics.iter().any(|topic| &*topic.name == coordination::topics::CLUSTER) {
            return Err(unknown());
        }
        let catalogue = reader::catalogue(client).await;
        let catalogue = catalogue.map_err(|error| coordination_failed(&error, stage))?;
        let job = catalogue.jobs.get(name).ok_or_else(unknown)?;
        cluster::read(&job.files, &job.variables).map_err(|error| {
            Failure::new(Exit::Failed, codes::PIPELINE_FILE, error.to_string())
                .help("let all nodes run one version of the program")
        })
    }
}
