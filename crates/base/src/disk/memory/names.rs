//! The names of a memory disk: as they are, as they are durable, and the changes between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::disk::DirEntry;

/// What bears a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    current: Names,
    durable: Names,
    /// Changes whose folder was not flushed since, in order.
    pending: Vec<Change>,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone)]
enum Change {
    Create(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn is_in(&self, folder: &Path) -> bool {
        let inside = |path: &Path| path.parent().unwrap_or_else(|| Path::new("")) == folder;
        match self {
            Self::Create(path, _) | Self::Remove(path) => inside(path),
            Self::Rename(from, to) => inside(from) || inside(to),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            // A folder may be durable before its own name is; it is reached once that is too.
            Self::Create(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.retain(|name, _| !name.starts_with(path));
            }
            Self::Rename(from, to) => rename(names, from, to),
        }
    }

    /// Follows a renamed folder.
    fn follow(&mut self, from: &Path, to: &Path) {
        let moved = |path: &mut PathBuf| {
            if let Ok(rest) = path.strip_prefix(from)
                && !rest.as_os_str().is_empty()
            {
                *path = to.join(rest);
            }
        };
        match self {
            Self::Create(path, _) | Self::Remove(path) => moved(path),
            Self::Rename(one, two) => {
                moved(one);
                moved(two);
            }
        }
    }
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/")
}

fn has_parent(names: &Names, path: &Path) -> bool {
    match path.parent() {
        Some(parent) => is_root(parent) || names.get(parent) == Some(&Node::Folder),
        None => true,
    }
}

fn rename(names: &mut Names, from: &Path, to: &Path) {
    let moving: Vec<PathBuf> =
        names.keys().filter(|name| name.starts_with(from)).cloned().collect();
    for name in moving {
        let node = names.remove(&name).expect("the name was just listed");
        let rest = name.strip_prefix(from).expect("the name begins with it");
        let new = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
        names.insert(new, node);
    }
}

impl Tree {
    pub(super) fn node(&self, path: &Path) -> Option<Node> {
        if is_root(path) {
            return Some(Node::Folder);
        }
        self.current.get(path).copied()
    }

    /// Every file that bears a name.
    pub(super) fn files(&self) -> impl Iterator<Item = usize> {
        self.current.values().filter_map(|node| match node {
            Node::File(id) => Some(*id),
            Node::Folder => None,
        })
    }

    pub(super) fn check_parent(&self, path: &Path) -> io::Result<()> {
        if has_parent(&self.current, path) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) {
        self.change(Change::Create(path.to_path_buf(), node));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change::Remove(path.to_path_buf()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        for change in &mut self.pending {
            change.follow(from, to);
        }
        self.change(Change::Rename(from.to_path_buf(), to.to_path_buf()));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Folders that are missing on the way to this one, outermost first.
    pub(super) fn missing_folders(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for folder in path.ancestors() {
            match self.node(folder) {
                Some(Node::Folder) => break,
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => missing.push(folder.to_path_buf()),
            }
        }
        missing.reverse();
        Ok(missing)
    }

    /// This name and all below it, outermost first.
    pub(super) fn below(&self, path: &Path) -> Vec<PathBuf> {
        self.current.keys().filter(|name| name.starts_with(path)).cloned().collect()
    }

    pub(super) fn list(&self, path: &Path) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        for (name, node) in &self.current {
            let inside = name.parent().unwrap_or_else(|| Path::new("")) == path;
            if let (true, Some(last)) = (inside, name.file_name().and_then(|last| last.to_str())) {
                entries.push(DirEntry { name: last.to_owned(), is_dir: *node == Node::Folder });
            }
        }
        entries.sort();
        entries
    }

    /// Makes the changes in a folder durable.
    pub(super) fn sync(&mut self, folder: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let inside = change.is_in(folder);
            if inside {
                change.apply(durable);
            }
            !inside
        });
    }

    /// The names as they may be found after a power cut. In order, the first change that is lost
    /// takes all later ones with it.
    pub(super) fn after_crash(&self, ordered: bool, keep: &mut dyn FnMut() -> bool) -> Self {
        let mut names = self.durable.clone();
        for change in &self.pending {
            match (keep(), ordered) {
                (true, _) => change.apply(&mut names),
                (false, true) => break,
                (false, false) => {}
            }
        }
        // What lies in a lost folder is lost with it; folders come before what is in them.
        let mut reached = Names::new();
        for (name, node) in names {
            if has_parent(&reached, &name) {
                reached.insert(name, node);
            }
        }
        let names = reached;
        Self { current: names.clone(), durable: names, pending: Vec::new() }
    }
}
