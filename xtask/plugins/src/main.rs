//! `cargo xtask plugins`: builds every folder of `plugins/` into a component in `plugins/prebuilt`. A program of its own,
//! so that the other tasks need not wait for the tools of WebAssembly to be compiled.
//!
//! The built components are kept in the repository, so that the host builds on a plain toolchain; the lock beside
//! them says from which sources they were built. The same sources and the same standard library give the same
//! bytes wherever the repository lies, and `--check` holds us to it.

mod component;
mod debian;
mod lock;
mod toolchain;

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::bail;
use clap::Parser;

use lock::Entry;
use lock::Lock;
use toolchain::Toolchain;

/// Build the plugins' components into plugins/prebuilt.
#[derive(clap::Parser)]
#[command(name = "cargo xtask plugins", bin_name = "cargo xtask plugins")]
struct Args {
    /// Build again, write nothing, and fail if anything differs from what is kept. Without a wasm toolchain only
    /// the sources are compared
    #[arg(long)]
    check: bool,

    /// Build with the standard library of Debian's rust-src even if the target is installed
    #[arg(long)]
    debian_std: bool,

    /// Folders of `plugins/`; all if none is given
    names: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let root = workspace_root()?;
    let names = if args.names.is_empty() { folders(&root)? } else { args.names.clone() };
    for name in &names {
        if !root.join("plugins").join(name).join("plugin.toml").is_file() {
            bail!("plugins/{name} has no plugin.toml");
        }
    }
    let scratch = target_dir(&root).join("plugins");
    let lock = Lock::read(&root)?;
    match toolchain::find(&scratch, args.debian_std) {
        Ok(toolchain) if args.check => check(&root, &scratch, &toolchain, &lock, &names),
        Ok(toolchain) => build(&root, &scratch, &toolchain, lock, &names, args.names.is_empty()),
        Err(error) if args.check => {
            eprintln!("no wasm toolchain can be had here: {error:#}");
            eprintln!("comparing the digests of sources and components only; nothing is built");
            check_digests(&root, &lock, &names)
        }
        Err(error) => Err(error.context("no wasm toolchain can be had here")),
    }
}

/// Builds and keeps the components of `names`, and forgets plugins that are gone if `all` are built.
fn build(
    root: &Path,
    scratch: &Path,
    toolchain: &Toolchain,
    mut lock: Lock,
    names: &[String],
    all: bool,
) -> anyhow::Result<()> {
    for name in names {
        let component = component::build(root, scratch, toolchain, name)?;
        let path = prebuilt(root, name);
        std::fs::write(&path, &component).with_context(|| format!("writing {}", path.display()))?;
        let entry = Entry {
            component: lock::digest(&component),
            sources: lock::sources(root, name)?,
            rustc: toolchain.rustc.clone(),
            std: toolchain.std.name().to_owned(),
        };
        eprintln!("plugins/prebuilt/{name}.wasm: {} bytes, sha256 {}", component.len(), entry.component);
        lock.plugins.insert(name.clone(), entry);
    }
    if all {
        forget_others(root, &mut lock, names)?;
    }
    lock.write(root)
}

/// Removes components and lock entries of plugins that have no folder any more.
fn forget_others(root: &Path, lock: &mut Lock, names: &[String]) -> anyhow::Result<()> {
    lock.plugins.retain(|name, _| names.contains(name));
    let folder = root.join("plugins/prebuilt");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        let is_component = path.extension().is_some_and(|extension| extension == "wasm");
        let known = path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()));
        if is_component && !known {
            eprintln!("removing {}: there is no such plugin", path.display());
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Builds again and compares with what is kept.
fn check(
    root: &Path,
    scratch: &Path,
    toolchain: &Toolchain,
    lock: &Lock,
    names: &[String],
) -> anyhow::Result<()> {
    check_digests(root, lock, names)?;
    let mut faults = Vec::new();
    for name in names {
        let built = lock::digest(&component::build(root, scratch, toolchain, name)?);
        let Some(kept) = lock.plugins.get(name) else { continue };
        if kept.rustc != toolchain.rustc || kept.std != toolchain.std.name() {
            eprintln!(
                "{name}: builds; kept bytes come from rustc {} with the standard library of {}, so they are not \
                 compared",
                kept.rustc, kept.std
            );
        } else if kept.component == built {
            eprintln!("{name}: the same bytes");
        } else {
            faults.push(format!("{name}: built {built}, kept {}", kept.component));
        }
    }
    finish(&faults)
}

/// Compares what is kept with the lock, and the lock with the sources.
fn check_digests(root: &Path, lock: &Lock, names: &[String]) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for name in names {
        let Some(entry) = lock.plugins.get(name) else {
            faults.push(format!("{name}: never built"));
            continue;
        };
        if lock::sources(root, name)? != entry.sources {
            faults.push(format!("{name}: its sources changed since it was built"));
        }
        let path = prebuilt(root, name);
        match std::fs::read(&path) {
            Ok(kept) if lock::digest(&kept) == entry.component => {}
            Ok(_) => faults.push(format!("{name}: {} is not what the lock says", path.display())),
            Err(error) => faults.push(format!("{name}: reading {}: {error}", path.display())),
        }
    }
    finish(&faults)
}

fn finish(faults: &[String]) -> anyhow::Result<()> {
    for fault in faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} of the prebuilt plugins differ; `cargo xtask plugins` builds them", faults.len());
    }
    Ok(())
}

fn prebuilt(root: &Path, name: &str) -> PathBuf {
    root.join("plugins/prebuilt").join(format!("{name}.wasm"))
}

/// Every folder of `plugins/` that has a manifest, in order.
fn folders(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("plugins");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.join("plugin.toml").is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn workspace_root() -> anyhow::Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    // It may have been built in a copy of the repository, so ask cargo where we are now.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| own.to_owned(), PathBuf::from);
    here.ancestors().nth(2).map(Path::to_owned).context("xtask/plugins lies in no workspace")
}

/// Where cargo puts what it builds.
fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}
