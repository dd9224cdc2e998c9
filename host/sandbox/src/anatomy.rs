//! What a component is made of, read from its bytes alone: imports, exports and the manifest's section. Nothing
//! is compiled or run here, and nothing is trusted: the compiler validates everything again.
//!
//! "Imports nothing" has one footnote. A component that exports a function over the records of an interface
//! names that interface and those records among its imports, because in the component model a type's name comes
//! from outside. Such an import carries nothing that could be called or read; it is told apart here, by the
//! validator's own understanding of the types and not by its name.

use wasmparser::Parser;
use wasmparser::Payload;
use wasmparser::Validator;
use wasmparser::component_types::ComponentAnyTypeId;
use wasmparser::component_types::ComponentEntityType;

use crate::limits;
use crate::manifest::SECTION;
use crate::refusal::Refusal;

/// One export of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What it is: `func`, `type`, `instance` and so on.
    pub kind: &'static str,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Anatomy<'a> {
    pub(crate) imports: Vec<String>,
    /// Imports that are mere names of types.
    pub(crate) type_names: Vec<String>,
    pub(crate) exports: Vec<Export>,
    /// Contents of the manifest's section, wherever in the component it stands.
    pub(crate) manifests: Vec<&'a [u8]>,
}

/// Reads a component. What was found before a fault is returned with it, so that a refused file can be shown.
pub(crate) fn read(bytes: &[u8]) -> (Anatomy<'_>, Result<(), Refusal>) {
    let mut found = Anatomy::default();
    let outcome = check_header(bytes).and_then(|()| {
        walk(bytes, &mut found)
            .and_then(|()| set_type_names_apart(bytes, &mut found))
            .map_err(|cause| Refusal::NotAComponent { says: cause.to_string() })
    });
    (found, outcome)
}

fn check_header(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > limits::COMPONENT_BYTES {
        return Err(Refusal::TooLarge { bytes: bytes.len() });
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    let says = if Parser::is_core_wasm(bytes) {
        "it is a core module; make a component of it with `wasm-tools component new`"
    } else if bytes.is_empty() {
        "the file is empty"
    } else {
        "it does not begin with a component's header"
    };
    Err(Refusal::NotAComponent { says: says.to_owned() })
}

/// Modules and components nest; only what stands at depth 0 crosses the border. The parser keeps its own stack,
/// so the depth of a hostile file costs no recursion here.
fn walk<'a>(bytes: &'a [u8], found: &mut Anatomy<'a>) -> wasmparser::Result<()> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    remember(&mut found.imports, import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let export = export?;
                    let name = export.name.name.to_owned();
                    remember(&mut found.exports, Export { name, kind: export.kind.desc() });
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                remember(&mut found.manifests, section.data());
            }
            _ => {}
        }
    }
    Ok(())
}

fn set_type_names_apart(bytes: &[u8], found: &mut Anatomy<'_>) -> wasmparser::Result<()> {
    if found.imports.is_empty() {
        return Ok(());
    }
    let types = Validator::new().validate_all(bytes)?;
    let is_type_name =
        |name: &String| match types.as_ref().component_item_for_import(name).map(|item| item.ty) {
            Some(ComponentEntityType::Instance(id)) => {
                types[id].exports.values().all(|item| is_plain_type(&item.ty))
            }
            Some(other) => is_plain_type(&other),
            None => false,
        };
    (found.type_names, found.imports) =
        std::mem::take(&mut found.imports).into_iter().partition(is_type_name);
    Ok(())
}

/// A resource is a type too, but one that stands for something outside.
fn is_plain_type(entity: &ComponentEntityType) -> bool {
    matches!(entity, ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(_), .. })
}

fn remember<T>(list: &mut Vec<T>, item: T) {
    if list.len() < limits::ANATOMY_NAMES {
        list.push(item);
    }
}
