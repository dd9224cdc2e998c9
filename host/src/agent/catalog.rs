//! The catalogue of games: what the program brings along, what plugins bring, and the operator's own files, whose
//! word counts most.

use std::path::Path;
use std::sync::Arc;

use ftagent_core::game::Catalog;
use ftagent_core::game::Finding;
use ftagent_core::game::Origin;
use ftagent_core::manifest::Manifest;

use crate::embedded;

/// One file of the operator.
pub(crate) struct GameFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A catalogue of everything known, the operator's files, and what is wrong with any of them.
pub(crate) fn open(games_dir: &Path, manifests: &[Arc<Manifest>]) -> (Catalog, Vec<GameFile>, Vec<Finding>) {
    let (mut catalog, mut findings) = Catalog::built_in(embedded::GAMES);
    for manifest in manifests {
        catalog.set_flags(&manifest.name, &manifest.flags);
        for text in &manifest.games {
            let file = format!("plugin {}", manifest.name);
            findings.extend(catalog.add(Origin::Plugin(manifest.name.clone()), &file, text));
        }
    }
    let files = operators_files(games_dir);
    for file in &files {
        findings.extend(catalog.add(Origin::Operator, &file.path, &file.text));
    }
    (catalog, files, findings)
}

/// `DIR/<title>/game.toml` and `DIR/<title>.toml`.
fn operators_files(dir: &Path) -> Vec<GameFile> {
    let Ok(found) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let files = paths.into_iter().map(|path| if path.is_dir() { path.join("game.toml") } else { path });
    let games = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let read = |path: std::path::PathBuf| {
        Some(GameFile { path: path.display().to_string(), text: std::fs::read_to_string(&path).ok()? })
    };
    games.filter_map(read).collect()
}
