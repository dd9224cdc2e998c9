//! Invariant 1: this crate has no outside world. Its own sources are searched for ways out.

use std::path::Path;

const WAYS_OUT: [&str; 12] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::time",
    "std::thread",
    "std::process",
    "std::env",
    "SystemTime",
    "tokio",
    "wasmtime",
    "libc::",
    "println!",
];

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            search(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines {
                let ways = WAYS_OUT.iter().filter(|way| line.contains(*way));
                found.extend(ways.map(|way| format!("{}: {way}", path.display())));
            }
        }
    }
}

#[test]
fn no_source_has_a_way_out() {
    let mut found = Vec::new();
    search(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_dependency_has_a_way_out() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.expect("the crate has a manifest");
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
    for name in ["tokio", "wasmtime", "libc", "nix", "ftagent-"] {
        let named =
            dependencies.lines().filter(|line| !line.starts_with("name")).any(|line| line.starts_with(name));
        assert!(!named, "`{name}` is a way out");
    }
}
