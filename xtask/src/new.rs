//! `cargo xtask new game|plugin`: one new folder, no other file edited.

use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use clap::Subcommand;

use crate::cargo;

/// What to make.
#[derive(Subcommand)]
pub(crate) enum Args {
    /// A title in games/, judged by a plugin that exists
    Game {
        /// The full title, such as "Counter-Strike 2"
        title: String,
    },
    /// A protocol in plugins/
    Plugin {
        /// Its name in kebab-case, such as `quake3`
        name: String,
    },
}

/// Makes the folder and says what to do next.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args {
        Args::Game { title } => game(&cargo::root(), title),
        Args::Plugin { name } => plugin(&cargo::root(), name),
    }
}

fn game(root: &Path, title: &str) -> anyhow::Result<()> {
    let id = kebab(title)?;
    let folder = root.join("games").join(&id);
    let text = include_str!("new/game.toml").replace("TITLE", title);
    write(&folder, &[("game.toml", &text)])?;
    println!("made games/{id}/game.toml\nnext: edit it, then `cargo test --release -p ftagent-core game`");
    Ok(())
}

fn plugin(root: &Path, name: &str) -> anyhow::Result<()> {
    if kebab(name)? != name {
        bail!("`{name}` is not kebab-case; try `{}`", kebab(name)?);
    }
    let folder = root.join("plugins").join(name);
    let cargo = include_str!("new/plugin/Cargo.toml.in").replace("NAME", name);
    let manifest = include_str!("new/plugin/plugin.toml").replace("NAME", name);
    let code = include_str!("new/plugin/lib.rs.in").replace("NAME", name);
    write(&folder, &[("Cargo.toml", &cargo), ("plugin.toml", &manifest), ("src/lib.rs", &code)])?;
    println!(
        "made plugins/{name}\nnext: edit src/lib.rs and plugin.toml, then `cargo test --release -p ftagent-plugin-{name}` \
         and `cargo xtask plugins {name}`"
    );
    Ok(())
}

/// The id of a title: lower case, words joined by hyphens, apostrophes dropped (`Garry's Mod` is `garrys-mod`).
fn kebab(title: &str) -> anyhow::Result<String> {
    let mut id = String::new();
    for letter in title.chars().filter(|letter| !matches!(letter, '\'' | '\u{2019}')) {
        if letter.is_ascii_alphanumeric() {
            id.push(letter.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
    }
    let id = id.trim_end_matches('-').to_owned();
    if id.is_empty() {
        bail!("`{title}` has no letter or digit to make an id from");
    }
    Ok(id)
}

fn write(folder: &Path, files: &[(&str, &str)]) -> anyhow::Result<()> {
    if folder.exists() {
        bail!("{} exists already", folder.display());
    }
    for (name, text) in files {
        let file = folder.join(name);
        let parent = file.parent().expect("a file in a folder has a parent");
        std::fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
        std::fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_ids() {
        let cases = [
            ("Counter-Strike 2", "counter-strike-2"),
            ("Garry's Mod", "garrys-mod"),
            ("ARK: Survival Evolved", "ark-survival-evolved"),
            ("7 Days to Die", "7-days-to-die"),
        ];
        for (title, id) in cases {
            assert_eq!(kebab(title).expect("it has letters"), id);
        }
        assert!(kebab("!?").is_err());
    }
}
