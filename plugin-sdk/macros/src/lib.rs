//! The macro that reads a plugin's manifest at compile time, checks it, and writes what follows from it: the
//! constants of reasons and flags, the custom section, the exported function.
//!
//! The manifest is the one place where a reason has its number; nothing else counts.

mod arguments;
mod manifest;
mod write;

use std::path::Path;
use std::path::PathBuf;

use proc_macro::TokenStream;

/// Makes a plugin of a manifest and a judge; see the documentation of `ftagent_plugin`.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    match expand(input.into()) {
        Ok(tokens) => tokens.into(),
        Err(fault) => {
            let message = fault.message;
            quote::quote_spanned!(fault.at => ::core::compile_error!(#message);).into()
        }
    }
}

/// A compile error and where to show it.
struct Fault {
    message: String,
    at: proc_macro2::Span,
}

fn expand(input: proc_macro2::TokenStream) -> Result<proc_macro2::TokenStream, Fault> {
    let arguments = arguments::read(input)?;
    let at = arguments.manifest_span;
    let path = manifest_path(&arguments.manifest);
    let text = std::fs::read_to_string(&path)
        .map_err(|cause| Fault { message: format!("reading {}: {cause}", path.display()), at })?;
    let manifest = manifest::read(&text).map_err(|faults| Fault {
        message: faults.iter().map(|fault| fault.shown(&path)).collect::<Vec<_>>().join("\n"),
        at,
    })?;
    Ok(write::plugin(&arguments, &manifest, &path))
}

/// The manifest's place: relative to the plugin's `Cargo.toml`.
fn manifest_path(relative: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    Path::new(&root).join(relative)
}
