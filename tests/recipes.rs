//! The recipes of CONTRIBUTING.md, executed line by line in a copy of the repository: a new game and a new plugin are
//! one new folder each and no edited line elsewhere.
//!
//! The copy and what is built from it stay below cargo's products, so that a second run builds only what changed.

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use support::root;

/// What the recipes of the page make.
const MADE: [&str; 2] = ["games/example-quest", "plugins/example-protocol"];
/// What a plugin's recipe may change beside its own folder: the lock files, and the component it builds.
const MAY_CHANGE: [&str; 3] =
    ["Cargo.lock", "plugins/prebuilt/plugins.lock", "plugins/prebuilt/example-protocol.wasm"];

/// The commands of a section's `sh` block.
fn recipe(section: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("the page is there");
    let (_, after) = page.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let text = after.split("\n## ").next().unwrap_or(after);
    let blocks = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let commands: Vec<_> = blocks.flat_map(str::lines).map(str::to_owned).collect();
    assert!(!commands.is_empty(), "`{section}` has commands");
    commands
}

/// Every file of the repository, by its path below it, without what is built and without hidden folders but cargo's.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let skipped =
                (name.starts_with('.') && name != ".cargo") || name == "target" || name == "node_modules";
            if path.is_dir() && !skipped {
                walk(root, &path, found);
            } else if path.is_file() {
                found.insert(path.strip_prefix(root).expect("it was found there").to_path_buf());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found
}

/// Makes `copy` equal to the repository. What is the same already keeps its time, so that cargo builds nothing anew.
fn copy_repository(copy: &Path) {
    let (wanted, there) = (files(&root()), if copy.exists() { files(copy) } else { BTreeSet::new() });
    for gone in there.difference(&wanted) {
        fs::remove_file(copy.join(gone)).expect("the copy is ours");
    }
    for folder in MADE {
        let _ = fs::remove_dir_all(copy.join(folder));
    }
    for file in &wanted {
        let (from, to) = (root().join(file), copy.join(file));
        let bytes = fs::read(&from).expect("the repository can be read");
        if fs::read(&to).is_ok_and(|kept| kept == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().expect("it lies in the copy")).expect("the copy is ours");
        fs::write(&to, bytes).expect("the copy is ours");
    }
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |file: PathBuf| (file.clone(), fs::read(root.join(&file)).expect("the copy is ours"));
    files(root).into_iter().map(read).collect()
}

/// Runs one line of a recipe in the copy, as a reader of the page types it.
fn execute(copy: &Path, target: &Path, line: &str) {
    let began = Instant::now();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", line]).current_dir(copy).env("CARGO_TARGET_DIR", target);
    // Quick to build counts more here than quick to run.
    shell.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    // What cargo set for this test is not what a reader has.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let own = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_BIN_")
            || name.starts_with("CARGO_MANIFEST");
        if own || ["CARGO_TARGET_TMPDIR", "CARGO_CRATE_NAME", "LD_LIBRARY_PATH"].contains(&name.as_str()) {
            shell.env_remove(name);
        }
    }
    let output = shell.output().expect("a shell");
    println!("{line}: {:.1} s", began.elapsed().as_secs_f64());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}` ended with {}\n{out}\n{err}", output.status);
    if line.starts_with("cargo test") {
        let passed = |text: &str| {
            text.lines().any(|line| line.starts_with("test result: ok") && !line.contains(" 0 passed"))
        };
        assert!(passed(&out), "`{line}` ran no test\n{out}");
    }
}

#[test]
fn the_recipes_work_and_edit_nothing_else() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recipes");
    let (copy, target) = (place.join("repository"), place.join("target"));
    copy_repository(&copy);
    let before = contents(&copy);
    for section in ["Add a game", "Add a plugin"] {
        for line in recipe(section) {
            execute(&copy, &target, &line);
        }
    }
    for made in MADE {
        assert!(copy.join(made).is_dir(), "{made} was made");
    }
    let after = contents(&copy);
    let edited: Vec<_> = after
        .iter()
        .filter(|(file, bytes)| before.get(*file) != Some(bytes))
        .map(|(file, _)| file.display().to_string())
        .filter(|file| {
            !MADE.iter().any(|made| file.starts_with(made)) && !MAY_CHANGE.contains(&file.as_str())
        })
        .collect();
    assert_eq!(edited, Vec::<String>::new(), "a recipe is one new folder");
    assert!(before.keys().all(|file| after.contains_key(file)), "nothing is removed");

    // The new component is a plugin that the program takes.
    let component = copy.join("plugins/prebuilt/example-protocol.wasm");
    let inspected = support::run(&["plugins", "inspect", "--json", &component.display().to_string()]).json(0);
    assert_eq!(inspected["manifest"]["name"], "example-protocol");
}
