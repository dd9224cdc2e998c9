//! From the facts of one container to its game.
//!
//! The strongest kind of mark decides, then the longer one, then the number of marks, then who brought the game. Two
//! games that are still equal are no answer: the container is `unknown`, and the evidence says between which.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::UNKNOWN;
use super::catalog::Catalog;
use super::name::command_words;
use super::name::holds_phrase;
use super::name::image_fits;
use super::name::image_part;
use super::name::normalise;
use super::ports::RecognisedPort;
use super::profile::Profile;
use super::profile::Variable;
use crate::service::Transport;

/// A port of a container that can be reached from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Published {
    /// The port as the game sees it.
    pub inside: u16,
    /// The port as the world sees it; panels publish it unchanged.
    pub outside: u16,
    /// The transport.
    pub transport: Transport,
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Its image as it was asked for.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its command; `STARTUP` of the environment comes before it.
    pub command: String,
    /// The egg's name, where a panel told it; `FTAGENT_EGG` and `P_EGG` of the environment count as well.
    pub egg: Option<String>,
    /// The egg's features, where a panel told them.
    pub features: Vec<String>,
    /// Its published ports; `None` where it shares the node's own network and so has every port.
    pub published: Option<Vec<Published>>,
}

/// What a container turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The game's id, or `unknown`.
    pub game: Arc<str>,
    /// Whether a mark told it; hints alone leave doubt, and then nothing is called wrong.
    pub certain: bool,
    /// Why, in words.
    pub evidence: Vec<String>,
    /// How each of its ports is judged.
    pub ports: Vec<RecognisedPort>,
}

/// Kinds of evidence, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Hints,
    Variable,
    Startup,
    Image,
    Egg,
    Value,
    Label,
}

/// How well one game fits: compared in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    strength: Strength,
    length: usize,
    marks: usize,
    rank: u8,
}

impl Catalog {
    /// Which game this container is, why, and how its ports are judged.
    pub fn recognise(&self, facts: &ContainerFacts) -> Recognised {
        let known = Known::new(facts);
        let mut fits: Vec<(Fit, Vec<String>, &Arc<Profile>)> = Vec::new();
        for profile in &self.profiles {
            if let Some((fit, evidence)) = self.fit(profile, &known) {
                fits.push((fit, evidence, profile));
            }
        }
        let best = fits.iter().map(|(fit, ..)| fit).max().cloned();
        let mut winners = fits.into_iter().filter(|(fit, ..)| Some(fit) == best.as_ref());
        let (game, certain, evidence, profile) = match (winners.next(), winners.next()) {
            (Some((fit, evidence, profile)), None) => {
                (profile.id.clone(), fit.strength > Strength::Hints, evidence, Some(profile))
            }
            (Some((_, _, one)), Some((_, _, other))) => {
                let says = format!("fits `{}` and `{}` equally", one.id, other.id);
                (UNKNOWN.into(), false, vec![says], None)
            }
            _ => (UNKNOWN.into(), false, vec!["nothing names a game".to_owned()], None),
        };
        let ports = self.judge_ports(profile.map(|profile| &**profile), certain, facts);
        Recognised { game, certain, evidence, ports }
    }

    fn fit(&self, profile: &Arc<Profile>, known: &Known<'_>) -> Option<(Fit, Vec<String>)> {
        let mut found: Vec<(Strength, usize, String)> = Vec::new();
        if let Some(label) = known.facts.labels.get("ftagent.game")
            && self.resolve(label).is_some_and(|named| named.id == profile.id)
        {
            found.push((Strength::Label, 1, format!("label ftagent.game={}", profile.id)));
        }
        for egg in &known.eggs {
            // The name without decoration: what strangers wrote in brackets is not printed.
            let egg = normalise(egg);
            if self.eggs.get(egg.as_str()) == Some(&profile.id) {
                found.push((Strength::Egg, 1, format!("egg `{egg}`")));
            }
        }
        for image in profile.marks.images.iter().filter(|image| image_fits(&known.image, image)) {
            found.push((Strength::Image, image.len(), format!("image {}", known.image)));
        }
        for phrase in profile.marks.startup.iter().filter(|phrase| holds_phrase(&known.words, phrase)) {
            found.push((Strength::Startup, phrase.len(), format!("command holds `{}`", phrase.join(" "))));
        }
        for variable in profile.marks.variables.iter().filter(|variable| known.has(variable)) {
            let strength = if variable.value.is_some() { Strength::Value } else { Strength::Variable };
            found.push((strength, 1, says(variable)));
        }
        if found.is_empty() {
            return fit_of_hints(profile, known, self.rank(&profile.id));
        }
        let (strength, length) = found.iter().map(|(strength, length, _)| (*strength, *length)).max()?;
        let fit = Fit { strength, length, marks: found.len(), rank: self.rank(&profile.id) };
        Some((fit, found.into_iter().map(|(_, _, says)| says).collect()))
    }
}

/// Two different kinds of hints are believed, one is not.
fn fit_of_hints(profile: &Profile, known: &Known<'_>, rank: u8) -> Option<(Fit, Vec<String>)> {
    let hints = &profile.hints;
    let image = hints.images.iter().find(|image| image_fits(&known.image, image));
    let variable = hints.variables.iter().find(|variable| known.has(variable));
    let feature =
        hints.features.iter().find(|feature| known.facts.features.iter().any(|had| **had == ***feature));
    let evidence: Vec<String> = [
        image.map(|_| format!("image {}", known.image)),
        variable.map(says),
        feature.map(|feature| format!("egg feature {feature}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let fit = Fit { strength: Strength::Hints, length: 0, marks: evidence.len(), rank };
    (evidence.len() >= 2).then_some((fit, evidence))
}

fn says(variable: &Variable) -> String {
    match &variable.value {
        Some(value) => format!("variable {}={value}", variable.name),
        None => format!("variable {}", variable.name),
    }
}

/// The facts, prepared for many comparisons.
struct Known<'f> {
    facts: &'f ContainerFacts,
    image: String,
    words: Vec<String>,
    eggs: Vec<&'f str>,
}

impl<'f> Known<'f> {
    fn new(facts: &'f ContainerFacts) -> Self {
        let command = facts.env.get("STARTUP").unwrap_or(&facts.command);
        let from_env = ["FTAGENT_EGG", "P_EGG"].into_iter().filter_map(|name| facts.env.get(name));
        let eggs = facts.egg.iter().chain(from_env).map(String::as_str).collect();
        Self {
            facts,
            image: image_part(&facts.image),
            words: command_words(&filled(command, &facts.env)),
            eggs,
        }
    }

    fn has(&self, variable: &Variable) -> bool {
        match (self.facts.env.get(&*variable.name), &variable.value) {
            (Some(value), Some(wanted)) => value.trim() == &**wanted,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// A command with `{{NAME}}` replaced by the variable's value, once: values are not read again.
fn filled(command: &str, env: &BTreeMap<String, String>) -> String {
    let mut rest = command;
    let mut text = String::with_capacity(command.len());
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        text.push_str(env.get(name.trim()).map_or("", String::as_str));
        rest = behind;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
