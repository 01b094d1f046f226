//! The links beside every page. A new page of the navigation is a row here; `key` is what follows `g` on the keyboard.

use super::page::Page;
use crate::access::Action::{self, *};

struct Entry {
    label: &'static str,
    icon: &'static str,
    key: char,
    path: &'static str,
    needs: Action,
}

const fn entry(
    label: &'static str,
    icon: &'static str,
    key: char,
    path: &'static str,
    needs: Action,
) -> Entry {
    Entry { label, icon, key, path, needs }
}

/// Paths below the environment.
const OF_ENVIRONMENT: &[Entry] = &[
    entry("Overview", "home", 'h', "", Read),
    entry("Getting started", "play", 'g', "/start", Read),
    entry("Integrations", "plug", 'i', "/integrations", Read),
    entry("Connections", "link", 'c', "/connections", Read),
    entry("Playground", "send", 'p', "/playground", Write),
    entry("Logs", "list", 'l', "/logs", Read),
    entry("Webhooks", "bell", 'w', "/webhooks", Read),
    entry("API keys", "key", 'k', "/api-keys", ReadSecrets),
    entry("Settings", "gear", 's', "/settings", ReadSecrets),
];

/// Pages that belong to no environment.
const OF_SERVER: &[Entry] = &[
    entry("Environments", "layers", 'e', "/settings/environments", ManageEnvironments),
    entry("Providers", "plug", 'v', "/settings/providers", ManageProviders),
    entry("Team", "people", 't', "/settings/team", ManageTeam),
    entry("Audit trail", "shield", 'a', "/settings/audit-trail", ReadAudit),
    entry("Health", "pulse", 'y', "/settings/health", SeeHealth),
];

/// Links under one heading.
pub struct Group {
    pub title: &'static str,
    pub links: Vec<Link>,
}

/// One link.
pub struct Link {
    pub label: &'static str,
    pub icon: &'static str,
    pub key: char,
    /// The path of the page, and its address.
    pub path: String,
    pub href: String,
    pub is_current: bool,
}

/// The links that this viewer may follow.
pub fn groups(page: &Page) -> Vec<Group> {
    let mut groups = Vec::new();
    if let Some(nearest) = &page.nearest {
        let open = OF_ENVIRONMENT.iter().filter(|entry| page.viewer.may_in(entry.needs, nearest));
        let links = open.map(|entry| link(page, entry, format!("/env/{}{}", nearest.name, entry.path)));
        groups.push(Group { title: "Environment", links: links.collect() });
    }
    let open = OF_SERVER.iter().filter(|entry| page.viewer.may(entry.needs));
    let links: Vec<Link> = open.map(|entry| link(page, entry, entry.path.to_owned())).collect();
    if !links.is_empty() {
        groups.push(Group { title: "Server", links });
    }
    groups
}

fn link(page: &Page, entry: &Entry, path: String) -> Link {
    // The first page of an environment is not the parent of the others.
    let is_below = !entry.path.is_empty() && page.path.starts_with(&format!("{path}/"));
    Link {
        label: entry.label,
        icon: entry.icon,
        key: entry.key,
        href: page.link(&path),
        is_current: page.path == path || is_below,
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pages_share_a_key() {
        let mut keys: Vec<char> = OF_ENVIRONMENT.iter().chain(OF_SERVER).map(|entry| entry.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
