//! Watches the plugins folder. A file counts when it was closed after writing or renamed into place, so that it is
//! never loaded half copied.

use std::path::Path;
use std::path::PathBuf;

use notify::EventKind;
use notify::RecommendedWatcher;
use notify::RecursiveMode;
use notify::Watcher as _;
use notify::event::AccessKind;
use notify::event::AccessMode;
use notify::event::ModifyKind;
use notify::event::RenameMode;
use tokio::sync::mpsc;

use super::plugins::is_component;

/// Changes that may wait until the main task looks; more than this is a folder gone wild, and the rest is missed.
const WAITING_MAX: usize = 256;

/// What happened to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is there, whole.
    Came(PathBuf),
    /// It is gone.
    Went(PathBuf),
}

/// Watches `folder`. The watcher works as long as it is kept.
pub(crate) fn watch(folder: &Path) -> notify::Result<(RecommendedWatcher, mpsc::Receiver<Change>)> {
    let (sender, changes) = mpsc::channel(WAITING_MAX);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        for change in changes_of(&event) {
            if sender.try_send(change).is_err() {
                tracing::warn!("the plugins folder changes faster than it can be read");
            }
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok((watcher, changes))
}

fn changes_of(event: &notify::Event) -> Vec<Change> {
    let paths = event.paths.iter().filter(|path| is_component(path)).cloned();
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => paths.map(Change::Came).collect(),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            paths.map(Change::Went).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_component_counts_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_watcher, mut changes) = watch(dir.path()).expect("inotify works");
        let half = dir.path().join("game.wasm.part");
        std::fs::write(&half, b"half").expect("writable");
        let whole = dir.path().join("game.wasm");
        std::fs::rename(&half, &whole).expect("same folder");
        assert_eq!(changes.recv().await, Some(Change::Came(whole.clone())));
        std::fs::write(&whole, b"again").expect("writable");
        assert_eq!(changes.recv().await, Some(Change::Came(whole.clone())));
        std::fs::remove_file(&whole).expect("it is there");
        assert_eq!(changes.recv().await, Some(Change::Went(whole)));
    }
}
