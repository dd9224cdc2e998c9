//! The rows of the contract as wit-bindgen writes them from `wit/v1`. Authors never meet them: `Packet` reads
//! them and `batch` fills the answer.

#![allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    reason = "written by wit-bindgen; its documentation is the WIT"
)]
#![allow(clippy::all, reason = "written by wit-bindgen")]

wit_bindgen::generate!({
    path: "../wit/v1",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "::ftagent_plugin::rows",
    runtime_path: "::ftagent_plugin::rows::rt",
    additional_derives: [PartialEq, Eq, Default],
});

pub use ftagent::plugin::rows::Opinion;
pub use wit_bindgen::rt;
