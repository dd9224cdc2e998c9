//! `ftagent explain`.

use std::net::IpAddr;

use serde_json::Value;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::exit::Outcome;

/// Whom to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address
    address: IpAddr,
    #[command(flatten)]
    json: JsonFlag,
}

/// Prints everything the running agent knows of an address.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let explanation = super::status::ask(places, async |client| client.explain(args.address).await)?;
    if args.json.json {
        return print::json(&explanation);
    }
    let mut text = String::new();
    outline(&explanation, 0, &mut text);
    print::text(&text)
}

/// JSON as an indented outline that a person can read.
fn outline(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('_', " ");
                match value {
                    Value::Object(inner) if inner.is_empty() => *text += &format!("{indent}{name}: none\n"),
                    Value::Array(items) if items.is_empty() => *text += &format!("{indent}{name}: none\n"),
                    Value::Object(_) | Value::Array(_) => {
                        *text += &format!("{indent}{name}:\n");
                        outline(value, depth + 1, text);
                    }
                    Value::String(word) => *text += &format!("{indent}{name}: {word}\n"),
                    other => *text += &format!("{indent}{name}: {other}\n"),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(_) => {
                        let mut inner = String::new();
                        outline(item, depth + 1, &mut inner);
                        *text += &format!("{indent}- {}", inner.trim_start());
                    }
                    Value::String(word) => *text += &format!("{indent}- {word}\n"),
                    other => *text += &format!("{indent}- {other}\n"),
                }
            }
        }
        other => *text += &format!("{indent}{other}\n"),
    }
}
