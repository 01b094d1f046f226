//! What can be done, and the pages where it is done: the same for every search, but for what the viewer may do.

use super::{Group, Hit, Target, Wanted};
use crate::access::Action::{self, *};
use crate::dashboard::page::EnvironmentPage;

/// Something that can be done. What it needs is judged in the environment unless the path is one of the server's.
struct Command {
    title: &'static str,
    icon: &'static str,
    /// Other words for it.
    words: &'static str,
    /// Below the environment, or below the server for [`OF_SERVER`].
    path: &'static str,
    needs: Action,
}

const fn command(
    title: &'static str,
    icon: &'static str,
    words: &'static str,
    path: &'static str,
    needs: Action,
) -> Command {
    Command { title, icon, words, path, needs }
}

const OF_ENVIRONMENT: &[Command] = &[
    command("Add an integration", "plug", "new create provider catalog", "/catalog", Write),
    command(
        "Connect an end user",
        "link",
        "new invite link session connection",
        "/connections/invite",
        Write,
    ),
    command("Create API key", "key", "new secret token", "/api-keys#new", ReadSecrets),
    command("Call an API", "send", "proxy request try playground", "/playground", Write),
    command("Define a provider", "plug", "new custom own yaml catalog", "/provider-editor", Read),
    command("Set a variable", "gear", "new environment value", "/settings#variables", ReadSecrets),
    command("Replace the signing key", "gear", "rotate webhook", "/settings#signing", ReadSecrets),
    command("Change webhook addresses", "gear", "settings url", "/settings#webhooks", ReadSecrets),
    command("Change the callback address", "gear", "settings oauth url", "/settings#addresses", ReadSecrets),
    command(
        "Send traces to a collector",
        "gear",
        "opentelemetry otlp headers",
        "/settings#collector-headers",
        ReadSecrets,
    ),
    command("Sign sign-ins", "gear", "hmac signature settings", "/settings#signature", ReadSecrets),
    command(
        "Change the look of the Connect UI",
        "gear",
        "theme colour logo",
        "/settings#look",
        ManageConnectUi,
    ),
    command("See what failed", "list", "errors logs operations", "/logs?state=failed", Read),
    command(
        "See connections with problems",
        "link",
        "errors attention",
        "/connections?state=attention",
        Read,
    ),
    command("See webhooks that were given up", "bell", "failed errors", "/webhooks?state=failed", Read),
];

const OF_SERVER: &[Command] = &[
    command("New environment", "layers", "create add", "/settings/environments#new", ManageEnvironments),
    command("Invite somebody", "people", "new add member team user", "/settings/team#invite", ManageTeam),
];

const OF_MEMBER: &[Command] = &[
    command("Your profile", "person", "name account me", "/me", BeHere),
    command("Change your password", "person", "account", "/me#password", BeHere),
    command("Second factor", "shield", "two-factor 2fa totp authenticator", "/me#second-factor", BeHere),
    command("Where you are logged in", "person", "sessions", "/me#sessions", BeHere),
];

const OF_EVERYBODY: &[Command] = &[
    command("Read the guide", "book", "documentation help docs manual readme", "/guide/hitchpost", BeHere),
    command(
        "Read about the catalog",
        "book",
        "documentation help docs grammar providers yaml",
        "/guide/catalog",
        BeHere,
    ),
];

/// Titles, other words, and names of the themes.
const THEMES: [(&str, &str, &str); 3] = [
    ("Light theme", "mode bright", "light"),
    ("Dark theme", "mode night", "dark"),
    ("Theme of the system", "mode automatic", "system"),
];

/// The pages that fit.
pub fn pages_to_go_to(page: &EnvironmentPage, wanted: &Wanted) -> Group {
    Group { title: "Go to", hits: pages(page, wanted), all: None }
}

/// The commands that fit, those first that are called so.
pub fn things_to_do(page: &EnvironmentPage, wanted: &Wanted) -> Group {
    let mut hits = commands(page, wanted);
    hits.sort_by_key(|hit| !wanted.is_in(&[&hit.title]));
    Group { title: "Do", hits, all: None }
}

fn pages(page: &EnvironmentPage, wanted: &Wanted) -> Vec<Hit> {
    let mut hits = Vec::new();
    for entry in page.navigation().into_iter().flat_map(|group| group.links) {
        if wanted.is_in(&[entry.label]) {
            hits.push(Hit::page(entry.icon, entry.label, "", entry.path));
        }
    }
    let others = page.environments.iter().filter(|other| other.id != page.environment.id);
    for other in others.filter(|other| wanted.is_in(&["Switch to environment", &other.name])) {
        let note = if other.is_production { "Production" } else { "" };
        hits.push(Hit::page(
            "layers",
            format!("Switch to {}", other.name),
            note,
            format!("/env/{}", other.name),
        ));
    }
    hits
}

fn commands(page: &EnvironmentPage, wanted: &Wanted) -> Vec<Hit> {
    let fits = |command: &&Command| wanted.is_in(&[command.title, command.words]);
    let hit = |command: &Command, path: String| Hit::page(command.icon, command.title, "", path);
    let here = OF_ENVIRONMENT.iter().filter(|command| page.may(command.needs)).filter(fits);
    let mut hits: Vec<Hit> = here.map(|command| hit(command, page.path_of(command.path))).collect();
    let there = OF_SERVER.iter().filter(|command| page.viewer.may(command.needs)).filter(fits);
    hits.extend(there.map(|command| hit(command, command.path.to_owned())));
    hits.extend(OF_EVERYBODY.iter().filter(fits).map(|command| hit(command, command.path.to_owned())));
    let own = OF_MEMBER.iter().filter(|_| page.viewer.member.is_some()).filter(fits);
    hits.extend(own.map(|command| hit(command, command.path.to_owned())));
    let themes = THEMES.iter().filter(|(title, words, _)| wanted.is_in(&[title, words]));
    hits.extend(themes.map(|(title, _, name)| special("gear", title, Target::Theme(name))));
    if page.viewer.member.is_some() && wanted.is_in(&["Log out", "sign leave"]) {
        hits.push(special("person", "Log out", Target::LogOut));
    }
    hits
}

fn special(icon: &'static str, title: &str, target: Target) -> Hit {
    Hit { icon, title: title.to_owned(), note: String::new(), target }
}
