//! Embeds what the program brings along: the prebuilt plugins and the catalogue of games. Both are found by
//! their folders, so that adding one edits no list.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let plugins = files(&root.join("plugins/prebuilt"), "wasm");
    let games =
        folders(&root.join("games")).into_iter().map(|title| title.join("game.toml")).filter(|f| f.exists());
    let mut code = String::new();
    list(&mut code, "PLUGINS", "&[u8]", "include_bytes", &plugins);
    list(&mut code, "GAMES", "&str", "include_str", &games.collect::<Vec<_>>());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("embedded.rs");
    std::fs::write(&out, code).unwrap_or_else(|error| panic!("failed to write {}: {error}", out.display()));
    println!("cargo::rerun-if-changed={}", root.join("plugins/prebuilt").display());
    println!("cargo::rerun-if-changed={}", root.join("games").display());
}

/// One constant: pairs of the path below the repository and the contents.
fn list(code: &mut String, name: &str, kind: &str, include: &str, paths: &[PathBuf]) {
    writeln!(code, "pub(crate) const {name}: &[(&str, {kind})] = &[").expect("a String takes everything");
    for path in paths {
        let path =
            path.canonicalize().unwrap_or_else(|error| panic!("failed to find {}: {error}", path.display()));
        let shown: Vec<_> =
            path.components().rev().take(3).map(|part| part.as_os_str().to_string_lossy()).collect();
        let shown: Vec<_> = shown.into_iter().rev().collect();
        writeln!(code, "    ({:?}, {include}!({:?})),", shown.join("/"), path)
            .expect("a String takes everything");
    }
    code.push_str("];\n");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}
