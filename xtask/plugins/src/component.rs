//! From a plugin's crate to a component: compile, componentize, lift the manifest where the host reads it.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::bail;

use crate::toolchain::Std;
use crate::toolchain::TARGET;
use crate::toolchain::Toolchain;

/// The custom section that holds a plugin's manifest.
const SECTION: &str = "ftagent:manifest";

/// Fast, and without symbols, paths and unwinding.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];

/// Builds the component of the plugin in this folder.
pub(super) fn build(
    root: &Path,
    scratch: &Path,
    toolchain: &Toolchain,
    name: &str,
) -> anyhow::Result<Vec<u8>> {
    let module = compile(root, scratch, toolchain, name)?;
    let (module, manifest) =
        take_section(&module).with_context(|| format!("reading the module of {name}"))?;
    let manifest = manifest.with_context(|| format!("{name} has no manifest; does it use `plugin!`?"))?;
    let mut component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(wit_component::ComponentEncoder::encode)
        .with_context(|| format!("making a component of {name}"))?;
    append_section(&mut component, &manifest);
    refuse_imports(&component).with_context(|| format!("the component of {name}"))?;
    Ok(component)
}

/// The core module of a plugin.
fn compile(root: &Path, scratch: &Path, toolchain: &Toolchain, name: &str) -> anyhow::Result<Vec<u8>> {
    let package = format!("ftagent-plugin-{name}");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root);
    cargo.args(["rustc", "--quiet", "--locked", "--release", "--lib", "--crate-type", "cdylib"]);
    cargo.args(["--package", &package, "--target", TARGET]);
    cargo.arg("--target-dir").arg(scratch);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    if let Std::Debian { library } = &toolchain.std {
        cargo.args(["-Z", "build-std=std,panic_abort"]);
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(root, toolchain)?.join("\u{1f}"));
    // Other settings of whoever calls us must not change the bytes.
    for variable in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_INCREMENTAL", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    eprintln!("compiling {package}");
    let status = cargo.status().with_context(|| format!("starting cargo for {package}"))?;
    if !status.success() {
        bail!("compiling {package} failed");
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = scratch.join(TARGET).join("release").join(file);
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// Flags that take this machine's paths out of what the compiler writes.
fn remapped(root: &Path, toolchain: &Toolchain) -> anyhow::Result<Vec<String>> {
    let mut places = vec![(root.to_owned(), "/ftagent".to_owned())];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    if let Some(home) = home {
        places.push((home, "/cargo".to_owned()));
    }
    if let Std::Debian { library } = &toolchain.std {
        places.push((library.clone(), "/rustc/library".to_owned()));
    }
    let flag = |(from, to): (PathBuf, String)| {
        let from = from.to_str().with_context(|| format!("{} is not UTF-8", from.display()))?;
        Ok(format!("--remap-path-prefix={from}={to}"))
    };
    places.into_iter().map(flag).collect()
}

/// The module without the manifest's section, and that section's contents.
fn take_section(module: &[u8]) -> anyhow::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let mut kept = module.get(..8).context("a module has a header of 8 bytes")?.to_vec();
    let mut manifest = None;
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let wasmparser::Payload::CustomSection(section) = &payload {
            match section.name() {
                SECTION => {
                    manifest = Some(section.data().to_vec());
                    continue;
                }
                // Names of tools and functions: of no use to the host.
                "name" | "producers" | "target_features" => continue,
                _ => {}
            }
        }
        if let Some((id, range)) = payload.as_section() {
            append(&mut kept, id, module.get(range).context("a section lies in its module")?);
        }
    }
    Ok((kept, manifest))
}

/// Appends a section: its id, its length, its contents.
fn append(bytes: &mut Vec<u8>, id: u8, contents: &[u8]) {
    bytes.push(id);
    append_length(bytes, contents.len());
    bytes.extend_from_slice(contents);
}

/// Appends the manifest as a custom section, which a component may have at its end.
fn append_section(component: &mut Vec<u8>, manifest: &[u8]) {
    let mut contents = Vec::new();
    append_length(&mut contents, SECTION.len());
    contents.extend_from_slice(SECTION.as_bytes());
    contents.extend_from_slice(manifest);
    append(component, 0, &contents);
}

/// LEB128, as WebAssembly writes lengths.
fn append_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits fit a byte");
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// A plugin imports nothing that does something; only the contract's record types may be named by an import.
fn refuse_imports(component: &[u8]) -> anyhow::Result<()> {
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload? {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => {
                depth += 1
            }
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import?;
                    let name = import.name.name;
                    let names_types = match import.ty {
                        wasmparser::ComponentTypeRef::Type(_) => true,
                        wasmparser::ComponentTypeRef::Instance(_) => {
                            name.starts_with("ftagent:plugin/rows@1.")
                        }
                        _ => false,
                    };
                    if !names_types {
                        bail!("it imports `{name}`; plugins import nothing");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
