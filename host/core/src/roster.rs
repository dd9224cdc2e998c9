//! The plugins that are loaded, by a number that is valid until the next roster.

use std::sync::Arc;

use crate::manifest::Manifest;

/// A plugin's number in its roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginIndex(u16);

impl PluginIndex {
    /// As an index.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// The plugins at one moment.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    plugins: Vec<Arc<Manifest>>,
    /// For each plugin the full names of its reasons, from 1 as in an opinion.
    reasons: Vec<Vec<Arc<str>>>,
}

impl Roster {
    /// A roster of these plugins, in this order. Of two with the same name the first is found.
    pub fn new(plugins: Vec<Arc<Manifest>>) -> Self {
        let names = |plugin: &Arc<Manifest>| {
            plugin.reasons.iter().map(|reason| format!("{}/{}", plugin.name, reason.name).into()).collect()
        };
        Self { reasons: plugins.iter().map(names).collect(), plugins }
    }

    /// The plugin of this name.
    pub fn find(&self, name: &str) -> Option<PluginIndex> {
        let at = self.plugins.iter().position(|plugin| &*plugin.name == name)?;
        u16::try_from(at).ok().map(PluginIndex)
    }

    /// Its manifest.
    pub fn manifest(&self, plugin: PluginIndex) -> Option<&Arc<Manifest>> {
        self.plugins.get(plugin.get())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PluginIndex, &Arc<Manifest>)> {
        self.plugins.iter().enumerate().map(|(at, plugin)| (PluginIndex(at as u16), plugin))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.plugins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// `plugin/reason` of an opinion's reason.
    pub(crate) fn reason_name(&self, plugin: PluginIndex, reason: u16) -> Option<&Arc<str>> {
        self.reasons.get(plugin.get())?.get(usize::from(reason.checked_sub(1)?))
    }
}
