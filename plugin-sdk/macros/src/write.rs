//! What the macro writes into the plugin's crate.

use std::path::Path;

use proc_macro2::Ident;
use proc_macro2::Literal;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use quote::quote;

use crate::arguments::Arguments;
use crate::manifest::Manifest;

/// The whole expansion.
pub(crate) fn plugin(arguments: &Arguments, manifest: &Manifest, path: &Path) -> TokenStream {
    let judge = &arguments.judge;
    // An absolute path is needed because the macro may be used in any source file. `include_bytes` makes cargo
    // rebuild when the manifest changes; only the bytes reach the component, never the path.
    let path = path.to_string_lossy();
    let constants = constants(manifest);
    let reasons = manifest.reasons.iter().map(|reason| reason.name.get_ref());
    let payload_bytes = manifest.wants.payload_bytes;
    let stream_head = *manifest.wants.stream_head.get_ref();
    let replies = manifest.wants.replies;
    quote! {
        #constants

        /// This plugin as tests use it: `Conversation::udp(port).client(b"..").judge(&PLUGIN)`.
        #[cfg(not(target_arch = "wasm32"))]
        pub static PLUGIN: ::ftagent_plugin::Plugin = ::ftagent_plugin::Plugin {
            manifest: ::core::include_str!(#path),
            reasons: &[#(#reasons),*],
            payload_bytes: #payload_bytes,
            stream_head: #stream_head,
            replies: #replies,
            judge: #judge,
        };

        /// The exported function as ordinary Rust: a batch of rows in, an answer out.
        #[cfg(not(target_arch = "wasm32"))]
        pub fn classify(
            sources: &[::ftagent_plugin::rows::Source],
            flows: &[::ftagent_plugin::rows::Flow],
            packets: &[::ftagent_plugin::rows::Packet],
            payloads: &[u8],
        ) -> ::ftagent_plugin::rows::Answer {
            ::ftagent_plugin::batch::classify(#judge, sources, flows, packets, payloads)
        }

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "an exported function and a custom section of a component")]
        const _: () = {
            // Public, so that the compiler keeps it; not `#[used]`, which would keep a second copy in memory.
            #[unsafe(link_section = "ftagent:manifest")]
            pub static MANIFEST: [u8; ::core::include_bytes!(#path).len()] = *::core::include_bytes!(#path);

            struct Component;

            impl ::ftagent_plugin::rows::Guest for Component {
                fn classify(
                    sources: ::std::vec::Vec<::ftagent_plugin::rows::Source>,
                    flows: ::std::vec::Vec<::ftagent_plugin::rows::Flow>,
                    packets: ::std::vec::Vec<::ftagent_plugin::rows::Packet>,
                    payloads: ::std::vec::Vec<u8>,
                ) -> ::ftagent_plugin::rows::Answer {
                    ::ftagent_plugin::batch::classify(#judge, &sources, &flows, &packets, &payloads)
                }
            }

            ::ftagent_plugin::rows::export_plugin!(Component with_types_in ::ftagent_plugin::rows);
        };
    }
}

/// The modules `reason` and `flag`.
fn constants(manifest: &Manifest) -> TokenStream {
    let reasons = manifest.reasons.iter().zip(1u16..).map(|(reason, number)| {
        let (name, says) = (constant(reason.name.get_ref()), reason.says.get_ref());
        let number = Literal::u16_unsuffixed(number);
        quote! {
            #[doc = #says]
            pub const #name: ::ftagent_plugin::Reason = ::ftagent_plugin::Reason(#number);
        }
    });
    let flags = manifest.flags.iter().zip(0u8..).map(|(flag, bit)| {
        let (name, says) = (constant(flag.name.get_ref()), flag.says.get_ref());
        let bit = Literal::u8_unsuffixed(bit);
        quote! {
            #[doc = #says]
            pub const #name: ::ftagent_plugin::Flag = ::ftagent_plugin::Flag(#bit);
        }
    });
    quote! {
        /// The reasons of the manifest.
        #[allow(dead_code, reason = "a reason may be used by a shape alone")]
        pub mod reason { #(#reasons)* }

        /// The service flags of the manifest.
        #[allow(dead_code, reason = "a flag may be declared for a later version")]
        pub mod flag { #(#flags)* }
    }
}

fn constant(name: &str) -> Ident {
    Ident::new(&name.replace('-', "_").to_ascii_uppercase(), Span::call_site())
}
