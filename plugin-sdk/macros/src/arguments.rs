//! The arguments of the macro: `manifest = "plugin.toml", judge = path::to::judge`.

use proc_macro2::Span;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;

use crate::Fault;

/// What the author wrote.
pub(crate) struct Arguments {
    /// The manifest's path, relative to the plugin's `Cargo.toml`.
    pub(crate) manifest: String,
    /// Where it was written.
    pub(crate) manifest_span: Span,
    /// The judge's path.
    pub(crate) judge: TokenStream,
}

/// Reads the arguments in any order.
pub(crate) fn read(input: TokenStream) -> Result<Arguments, Fault> {
    let usage = |at: Span| Fault {
        message: "write `plugin!(manifest = \"plugin.toml\", judge = path::to::judge);`".to_owned(),
        at,
    };
    let (mut manifest, mut judge) = (None, None);
    for argument in split_at_commas(input) {
        let mut tokens = argument.into_iter();
        let Some(TokenTree::Ident(name)) = tokens.next() else { return Err(usage(Span::call_site())) };
        match tokens.next() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {}
            _ => return Err(usage(name.span())),
        }
        let value: TokenStream = tokens.collect();
        match name.to_string().as_str() {
            "manifest" => manifest = Some(value),
            "judge" => judge = Some(value),
            _ => return Err(usage(name.span())),
        }
    }
    let (Some(manifest), Some(judge)) = (manifest, judge) else { return Err(usage(Span::call_site())) };
    let (manifest, manifest_span) = text(manifest).ok_or_else(|| usage(Span::call_site()))?;
    Ok(Arguments { manifest, manifest_span, judge })
}

fn split_at_commas(input: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in input {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(punct), _) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            (_, Some(part)) => part.extend([token]),
            (_, None) => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The text of a string literal without escapes, which is all that a path needs.
fn text(value: TokenStream) -> Option<(String, Span)> {
    let mut tokens = value.into_iter();
    let literal = match (tokens.next()?, tokens.next()) {
        (TokenTree::Literal(literal), None) => literal,
        _ => return None,
    };
    let written = literal.to_string();
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    Some((inner.to_owned(), literal.span()))
}
