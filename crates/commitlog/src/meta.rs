//! Small files that say whose folder it is: `meta.properties` and `partition.metadata`.

use std::path::Path;

use base::disk::{Disk, OpenMode};
use base::uuid::Uuid;

use crate::error::Error;
use crate::format::{self, FORMAT_VERSION};
use crate::options::StoreOptions;

/// Kafka's version of `meta.properties`.
const META_VERSION: &str = "1";

/// The version of the layout; a folder that Kafka wrote has no such line.
const FORMAT_KEY: &str = "millstream.format";

/// The version that the records still have while a start raises them.
const FROM_KEY: &str = "millstream.format.from";

/// Whose folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: Uuid,
    /// The node's number.
    pub node_id: i32,
    /// The folder's id.
    pub directory_id: Uuid,
}

/// What a folder says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meta {
    identity: Identity,
    /// The format of an older Millstream that the records still have.
    from: Option<u32>,
}

/// Reads the folder's identity, or writes the one of the options into a new folder; and the older
/// format that its records still have, if they do.
pub(crate) fn open_identity(options: &StoreOptions) -> Result<(Identity, Option<u32>), Error> {
    let path = options.dir.join(format::META_FILE);
    let disk = &*options.disk;
    if disk.exists(&path) {
        let (meta, format) = load_meta(disk, &path)?;
        if format != Some(FORMAT_VERSION) {
            // From now on an older program would misread what lies in the folder.
            store_meta(disk, &path, &meta)?;
        }
        return Ok((meta.identity, meta.from));
    }
    let identity = Identity {
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        directory_id: options.directory_id,
    };
    store_meta(disk, &path, &Meta { identity, from: None })?;
    Ok((identity, None))
}

/// Notes that the records have the present format as well.
pub(crate) fn store_raised(disk: &dyn Disk, root: &Path, identity: Identity) -> Result<(), Error> {
    store_meta(disk, &root.join(format::META_FILE), &Meta { identity, from: None })
}

fn store_meta(disk: &dyn Disk, path: &Path, meta: &Meta) -> Result<(), Error> {
    let Meta { identity, from } = meta;
    let mut text = format!(
        "version={META_VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n\
         {FORMAT_KEY}={FORMAT_VERSION}\n",
        identity.cluster_id, identity.node_id, identity.directory_id
    );
    if let Some(from) = from {
        text.push_str(&format!("{FROM_KEY}={from}\n"));
    }
    disk.replace(path, text.as_bytes()).map_err(Error::io("replace", path))
}

/// What the folder says of itself, and the version of its layout; none when Kafka wrote it.
fn load_meta(disk: &dyn Disk, path: &Path) -> Result<(Meta, Option<u32>), Error> {
    let text = read_text(disk, path)?;
    let damaged = |what| Error::Damaged { path: path.to_path_buf(), what };
    let value = |key: &str| find(&text, key, '=');
    let number = |key| {
        let parse = |text: &str| text.parse::<u32>();
        value(key).map(parse).transpose().map_err(|_| damaged("the format version is no number"))
    };
    let format = number(FORMAT_KEY)?;
    if let Some(found) = format.filter(|found| *found > FORMAT_VERSION) {
        return Err(Error::NewerFormat { found, known: FORMAT_VERSION });
    }
    let from = match format {
        Some(FORMAT_VERSION) => number(FROM_KEY)?,
        older => older,
    };
    let uuid = |key| value(key).and_then(|text| text.parse::<Uuid>().ok());
    let identity = Identity {
        cluster_id: uuid("cluster.id").ok_or_else(|| damaged("no cluster.id"))?,
        node_id: value("node.id")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("no node.id"))?,
        directory_id: uuid("directory.id").unwrap_or(Uuid::ZERO),
    };
    Ok((Meta { identity, from }, format))
}

/// Writes a log's topic id into its folder. A torn file reads as none and is written again, so
/// it need not be replaced as a whole; its name needs a flush of the folder.
pub(crate) fn store_topic_id(disk: &dyn Disk, dir: &Path, id: Uuid) -> Result<(), Error> {
    let path = dir.join(format::PARTITION_FILE);
    let text = format!("version: 0\ntopic_id: {id}\n");
    let file = disk.open(&path, OpenMode::Truncate).map_err(Error::io("open", &path))?;
    file.write_at(text.as_bytes(), 0).map_err(Error::io("write", &path))?;
    file.sync_data().map_err(Error::io("flush", &path))
}

/// The topic id in a log's folder; none when the file is missing or damaged.
pub(crate) fn load_topic_id(disk: &dyn Disk, dir: &Path) -> Option<Uuid> {
    let text = read_text(disk, &dir.join(format::PARTITION_FILE)).ok()?;
    find(&text, "topic_id", ':')?.parse().ok()
}

fn read_text(disk: &dyn Disk, path: &Path) -> Result<String, Error> {
    let bytes = disk.read(path).map_err(Error::io("read", path))?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Error::Damaged { path: path.to_path_buf(), what: "it is no text" })
}

fn find<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then_some(value.trim())
    })
}
