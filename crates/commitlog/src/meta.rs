//! Small files that say whose folder it is: `meta.properties` and `partition.metadata`.

use std::path::Path;

use base::disk::{Disk, OpenMode};
use base::uuid::Uuid;

use crate::error::Error;
use crate::format::{self, FORMAT_VERSION};
use crate::options::StoreOptions;

/// Kafka's version of `meta.properties`.
const META_VERSION: &str = "1";

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

/// Reads the folder's identity, or writes the one of the options into a new folder.
pub(crate) fn open_identity(options: &StoreOptions) -> Result<Identity, Error> {
    let path = options.dir.join(format::META_FILE);
    let disk = &*options.disk;
    if disk.exists(&path) {
        let (identity, format) = load_identity(disk, &path)?;
        if format < FORMAT_VERSION {
            // From now on an older program would overlook what lies in the folder.
            store_identity(disk, &path, &identity)?;
        }
        return Ok(identity);
    }
    let identity = Identity {
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        directory_id: options.directory_id,
    };
    store_identity(disk, &path, &identity)?;
    Ok(identity)
}

fn store_identity(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<(), Error> {
    let text = format!(
        "version={META_VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n\
         millstream.format={FORMAT_VERSION}\n",
        identity.cluster_id, identity.node_id, identity.directory_id
    );
    disk.replace(path, text.as_bytes()).map_err(Error::io("replace", path))
}

/// Whose folder it is, and the version of its layout.
fn load_identity(disk: &dyn Disk, path: &Path) -> Result<(Identity, u32), Error> {
    let text = read_text(disk, path)?;
    let damaged = |what| Error::Damaged { path: path.to_path_buf(), what };
    let value = |key: &str| find(&text, key, '=');
    // A folder that Kafka wrote has no such line, and the layout of version 1 is Kafka's.
    let found = value("millstream.format").unwrap_or("1");
    let found: u32 = found.parse().map_err(|_| damaged("the format version is no number"))?;
    if found > FORMAT_VERSION {
        return Err(Error::NewerFormat { found, known: FORMAT_VERSION });
    }
    let uuid = |key| value(key).and_then(|text| text.parse::<Uuid>().ok());
    let identity = Identity {
        cluster_id: uuid("cluster.id").ok_or_else(|| damaged("no cluster.id"))?,
        node_id: value("node.id")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("no node.id"))?,
        directory_id: uuid("directory.id").unwrap_or(Uuid::ZERO),
    };
    Ok((identity, found))
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
