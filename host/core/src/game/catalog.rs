//! All profiles, and whose word counts where two claim the same thing.
//!
//! The operator's files come before the built-in ones, and these before those that plugins bring. What is owned
//! stays owned: only an operator's file with `take-over = true` may take a game, an alias or an egg from another.

use std::collections::HashMap;
use std::sync::Arc;

use super::finding::Finding;
use super::finding::Severity;
use super::name::nearest;
use super::name::normalise;
use super::parse::parse;
use super::profile::Profile;
use crate::manifest::Flag;

/// Who brought a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator of this node.
    Operator,
    /// This program.
    BuiltIn,
    /// A plugin of this name.
    Plugin(Arc<str>),
}

impl Origin {
    /// Whose word counts, greater first.
    fn rank(&self) -> u8 {
        match self {
            Self::Operator => 2,
            Self::BuiltIn => 1,
            Self::Plugin(_) => 0,
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Operator => "the operator".to_owned(),
            Self::BuiltIn => "the built-in catalogue".to_owned(),
            Self::Plugin(name) => format!("plugin `{name}`"),
        }
    }
}

/// All games that are known.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub(super) profiles: Vec<Arc<Profile>>,
    origins: HashMap<Arc<str>, Origin>,
    /// Ids and aliases.
    names: HashMap<Arc<str>, Arc<str>>,
    /// Normalised egg names, titles, ids and aliases.
    pub(super) eggs: HashMap<Arc<str>, Arc<str>>,
    pub(super) flags: HashMap<Arc<str>, Vec<Flag>>,
}

impl Catalog {
    /// A catalogue of the texts that came with the program.
    pub fn built_in<P: AsRef<str>, T: AsRef<str>>(files: &[(P, T)]) -> (Self, Vec<Finding>) {
        let mut catalog = Self::default();
        let mut findings = Vec::new();
        for (path, text) in files {
            findings.extend(catalog.add(Origin::BuiltIn, path.as_ref(), text.as_ref()));
        }
        (catalog, findings)
    }

    /// Adds one file. Hand in the built-in ones first, then the plugins', then the operator's.
    pub fn add(&mut self, origin: Origin, file: &str, text: &str) -> Vec<Finding> {
        let (profile, mut findings) = parse(file, text);
        if let Some(profile) = profile {
            findings.extend(self.insert(origin, profile, text));
        }
        findings
    }

    /// What a plugin's switches are called and which container variables set them.
    pub fn set_flags(&mut self, plugin: &str, flags: &[Flag]) {
        self.flags.insert(plugin.into(), flags.iter().take(64).cloned().collect());
    }

    fn insert(&mut self, origin: Origin, mut profile: Profile, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let may_take = origin == Origin::Operator && profile.take_over;
        let file = profile.file.clone();
        let mut refuse = |claim: &str, owner: &str, whose: &str, severity| {
            let at = text.find(claim).map_or(0..0, |start| start..start + claim.len());
            let hint = match origin {
                Origin::Operator => "write `take-over = true` to take it over".to_owned(),
                _ => format!("it stays with `{owner}`; an operator's game file may take it over"),
            };
            let says = format!("`{claim}` belongs to game `{owner}` of {whose}");
            findings.push(Finding::new(&file, text, at, severity, says).with_hint(Some(hint)));
        };
        if let Some(owner) = self.names.get(&profile.id).cloned() {
            if !may_take {
                let whose = self.whose(&owner);
                refuse(&profile.id, &owner, &whose, Severity::Error);
                return findings;
            }
            if owner == profile.id {
                self.remove(&owner);
            }
        }
        let mut aliases = Vec::new();
        for alias in std::mem::take(&mut profile.aliases) {
            match self.names.get(&alias) {
                Some(owner) if *owner != profile.id && !may_take => {
                    refuse(&alias, owner, &self.whose(owner), Severity::Warning);
                }
                _ => aliases.push(alias),
            }
        }
        profile.aliases = aliases;
        let mut eggs = Vec::new();
        for egg in claimed_names(&profile) {
            match self.eggs.get(&egg) {
                Some(owner) if *owner != profile.id && !may_take => {
                    refuse(&egg, owner, &self.whose(owner), Severity::Warning);
                }
                _ => eggs.push(egg),
            }
        }
        self.own(origin, profile, eggs);
        findings
    }

    fn own(&mut self, origin: Origin, profile: Profile, eggs: Vec<Arc<str>>) {
        let id = profile.id.clone();
        for alias in &profile.aliases {
            self.names.insert(alias.clone(), id.clone());
        }
        for egg in eggs {
            self.eggs.insert(egg, id.clone());
        }
        self.names.insert(id.clone(), id.clone());
        self.origins.insert(id, origin);
        self.profiles.push(Arc::new(profile));
    }

    fn remove(&mut self, id: &Arc<str>) {
        self.profiles.retain(|profile| profile.id != *id);
        self.names.retain(|_, owner| owner != id);
        self.eggs.retain(|_, owner| owner != id);
        self.origins.remove(id);
    }

    fn whose(&self, id: &Arc<str>) -> String {
        self.origins.get(id).map_or_else(|| "nobody".to_owned(), Origin::says)
    }

    /// The game with this id, alias or title, in any case.
    pub fn resolve(&self, name: &str) -> Option<&Arc<Profile>> {
        let lower = name.trim().to_lowercase();
        let id = self.names.get(lower.as_str());
        let id = id.or_else(|| self.eggs.get(normalise(name).as_str()))?;
        self.profiles.iter().find(|profile| profile.id == *id)
    }

    /// The id or alias that was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let mut names: Vec<&str> = self.names.keys().map(|name| &**name).collect();
        names.sort_unstable();
        nearest(&name.to_lowercase(), names)
    }

    /// Who brought this game.
    pub fn origin(&self, id: &str) -> Option<&Origin> {
        self.origins.get(id)
    }

    /// Whose word counts where two games fit a container equally, greater first.
    pub(super) fn rank(&self, id: &str) -> u8 {
        self.origins.get(id).map_or(0, Origin::rank)
    }

    /// All profiles, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.iter()
    }

    /// How many games are known.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }
}

/// The names under which an egg means this game.
fn claimed_names(profile: &Profile) -> Vec<Arc<str>> {
    let own = [&profile.id, &profile.name].into_iter().chain(&profile.aliases);
    let mut names: Vec<Arc<str>> = own.map(|name| normalise(name).into()).collect();
    names.extend(profile.marks.eggs.iter().cloned());
    names.retain(|name: &Arc<str>| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
