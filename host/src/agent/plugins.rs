//! The plugins of this process: the built-in ones and those in the operator's folder.
//!
//! A plugin keeps its index for the life of the process, so that a new version can take its place between two
//! batches. A file that is refused changes nothing: what was there before stays.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use ftagent_api::views::PluginView;
use ftagent_core::Roster;
use ftagent_core::manifest::Manifest;
use ftagent_sandbox::Health;
use ftagent_sandbox::Plugin;
use ftagent_sandbox::Refusal;
use ftagent_sandbox::Sandbox;
use ftagent_sandbox::State;

use crate::embedded;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Brought along by the program.
    BuiltIn,
    /// The operator's folder.
    File(PathBuf),
}

struct Entry {
    plugin: Arc<Plugin>,
    origin: Origin,
    bytes: usize,
}

/// Why a file is not a plugin of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It could not be read.
    #[error("failed to read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// Somebody else could have put it there.
    #[error("{path} may be written by others than root: {why}")]
    Owner { path: PathBuf, why: String },
    /// The sandbox does not take it.
    #[error("{path} is refused: {source}")]
    Refused { path: PathBuf, source: Refusal },
}

/// All plugins, by index.
pub(crate) struct PluginSet {
    sandbox: Sandbox,
    entries: Vec<Entry>,
    refused: BTreeMap<PathBuf, String>,
}

impl PluginSet {
    /// The built-in plugins.
    pub(crate) fn built_in(sandbox: Sandbox) -> Result<Self, LoadError> {
        let mut set = Self { sandbox, entries: Vec::new(), refused: BTreeMap::new() };
        for (path, component) in embedded::PLUGINS {
            let loaded = set.sandbox.load(component);
            let plugin = loaded.map_err(|source| LoadError::Refused { path: PathBuf::from(path), source })?;
            set.put(Entry { plugin, origin: Origin::BuiltIn, bytes: component.len() });
        }
        Ok(set)
    }

    /// Loads every component in a folder; what is refused is kept for `views` and told.
    pub(crate) fn load_folder(&mut self, folder: &Path) -> Vec<LoadError> {
        let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut paths: Vec<_> =
            found.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| is_component(p)).collect();
        paths.sort();
        paths.iter().filter_map(|path| self.load_file(path).err()).collect()
    }

    /// Loads one file and puts it in its place; says which index changed.
    pub(crate) fn load_file(&mut self, path: &Path) -> Result<usize, LoadError> {
        match self.try_load(path) {
            Ok(at) => {
                self.refused.remove(path);
                Ok(at)
            }
            Err(error) => {
                self.refused.insert(path.to_path_buf(), error.to_string());
                Err(error)
            }
        }
    }

    fn try_load(&mut self, path: &Path) -> Result<usize, LoadError> {
        let fault = |source| LoadError::Read { path: path.to_path_buf(), source };
        check_owner(path)?;
        let component = std::fs::read(path).map_err(fault)?;
        let loaded = self.sandbox.load(&component);
        let plugin = loaded.map_err(|source| LoadError::Refused { path: path.to_path_buf(), source })?;
        Ok(self.put(Entry { plugin, origin: Origin::File(path.to_path_buf()), bytes: component.len() }))
    }

    /// Forgets a file that is gone: a built-in plugin of its name comes back. Says which index changed.
    pub(crate) fn forget_file(&mut self, path: &Path) -> Option<usize> {
        self.refused.remove(path);
        let gone = Origin::File(path.to_path_buf());
        let at = self.entries.iter().position(|entry| entry.origin == gone)?;
        let name = self.entries[at].plugin.manifest().name.clone();
        let built_in = embedded::PLUGINS.iter().find_map(|(_, component)| {
            let plugin = self.sandbox.load(component).ok()?;
            (plugin.manifest().name == name).then(|| Entry {
                plugin,
                origin: Origin::BuiltIn,
                bytes: component.len(),
            })
        });
        Some(self.put(built_in?))
    }

    fn put(&mut self, entry: Entry) -> usize {
        let name = &entry.plugin.manifest().name;
        match self.entries.iter().position(|known| known.plugin.manifest().name == *name) {
            Some(at) => {
                self.entries[at] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        }
    }

    /// What the engine needs to know of them.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::new(Roster::new(self.manifests()))
    }

    /// Their manifests, by index.
    pub(crate) fn manifests(&self) -> Vec<Arc<Manifest>> {
        self.entries.iter().map(|entry| entry.plugin.manifest().clone()).collect()
    }

    /// The plugins, by index.
    pub(crate) fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.entries.iter().map(|entry| entry.plugin.clone()).collect()
    }

    /// What people are shown, with the health of each by index where it runs.
    pub(crate) fn views(&self, health: &[Option<Health>]) -> Vec<PluginView> {
        let loaded = self.entries.iter().enumerate().map(|(at, entry)| {
            let manifest = entry.plugin.manifest();
            let health = health.get(at).cloned().flatten().unwrap_or_default();
            PluginView {
                name: manifest.name.to_string(),
                version: manifest.version.to_string(),
                contract: manifest.contract,
                origin: match &entry.origin {
                    Origin::BuiltIn => "built-in".to_owned(),
                    Origin::File(path) => path.display().to_string(),
                },
                digest: entry.plugin.digest().to_string(),
                bytes: entry.bytes as u64,
                health: match health.state {
                    State::Serving => "healthy",
                    State::Quarantined => "quarantined",
                }
                .to_owned(),
                trouble: health.last_error.clone(),
                traps: health.traps,
                out_of_fuel: health.out_of_fuel,
                lies: health.lies,
            }
        });
        let refused = self.refused.iter().map(|(path, why)| PluginView {
            name: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            version: String::new(),
            contract: 0,
            origin: path.display().to_string(),
            digest: String::new(),
            bytes: 0,
            health: "refused".to_owned(),
            trouble: Some(why.clone()),
            traps: 0,
            out_of_fuel: 0,
            lies: 0,
        });
        loaded.chain(refused).collect()
    }
}

/// Whether a file of this name is taken for a plugin.
pub(crate) fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

/// Only root, or whoever runs us, may have written the file or may replace it in its folder.
fn check_owner(path: &Path) -> Result<(), LoadError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    for place in [folder, path] {
        let meta = std::fs::metadata(place)
            .map_err(|source| LoadError::Read { path: place.to_path_buf(), source })?;
        let why = if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
            format!("it belongs to user {}", meta.uid())
        } else if meta.mode() & 0o022 != 0 {
            format!("its mode is {:o}", meta.mode() & 0o7777)
        } else {
            continue;
        };
        return Err(LoadError::Owner { path: place.to_path_buf(), why });
    }
    Ok(())
}
