//! The way of a request through the modules is downward only; `docs/ARCHITECTURE.md` has the map.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer. A module may use its own layer and the layers after it.
const LAYERS: [&[&str]; 5] = [
    // Starts and stops everything.
    &["cli", "server", "start"],
    // The edge: turns requests and files into calls, and results into answers.
    &["api", "connect", "dashboard", "demo", "settings_file"],
    // The domain.
    &[
        "audit",
        "connections",
        "custom_providers",
        "environments",
        "health",
        "hooks",
        "integrations",
        "jobs",
        "keys",
        "logs",
        "members",
        "modes",
        "oauth",
        "proxy",
        "refresh",
        "shipping",
        "webhooks",
    ],
    // Storage, outgoing requests and what lives as long as the process.
    &[
        "app",
        "assets",
        "caches",
        "config",
        "db",
        "egress",
        "error",
        "fanout",
        "hub",
        "lane",
        "limiter",
        "metrics",
        "published",
        "telemetry",
    ],
    // Pure: no I/O, no handles.
    &["access", "auth", "catalog", "clock", "crypto", "rng", "template", "time_format"],
];

/// `App` holds what the domain remembers; start-up is told to watch the catalog by the jobs.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("app", "connections"),
    ("app", "demo"),
    ("app", "hooks"),
    ("app", "keys"),
    ("app", "logs"),
    ("app", "modes"),
    ("app", "proxy"),
    ("app", "refresh"),
    ("app", "shipping"),
    ("app", "webhooks"),
    ("jobs", "start"),
    // Only these two know how a value of the edge is read.
    ("connections", "api"),
];

#[test]
fn modules_depend_downward() {
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        for used in used_modules(&path) {
            let is_allowed =
                layer(&module) <= layer(&used) || EXCEPTIONS.contains(&(module.as_str(), used.as_str()));
            if !is_allowed {
                wrong.push(format!("{module} uses {used} ({})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upward dependencies:\n{}", wrong.join("\n"));
}

#[test]
fn sql_is_written_in_db_only() {
    let outside = sources().into_iter().filter(|(module, _)| module != "db");
    let wrong: Vec<String> = outside
        .filter(|(_, path)| fs::read_to_string(path).unwrap().contains("sqlx::query"))
        .map(|(_, path)| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "SQL outside src/db: {wrong:?}");
}

#[test]
fn no_foreign_server_is_named_in_the_binary() {
    let allowed = "nango.dev";
    for (_, path) in sources() {
        let text = code(&path);
        for host in ["api.nango.dev", "connect.nango.dev", "app.nango.dev"] {
            assert!(!text.contains(host), "{} names {host}", path.display());
        }
        let lines = text.lines().filter(|line| line.contains(allowed));
        // The only mention is the rule that refuses webhooks to that domain.
        assert!(lines.count() == 0 || path.ends_with("api/input/webhook_url.rs"), "{}", path.display());
    }
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|modules| modules.contains(&module));
    found.unwrap_or_else(|| panic!("the module {module} has no layer: add it to tests/it/architecture.rs"))
}

/// Every source file with its top-level module; `main.rs` and `lib.rs` are outside the layers.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let module = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let named = files.into_iter().map(|path| (module(&path), path));
    named.filter(|(module, _)| module != "main" && module != "lib").collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A source file without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Modules named as `crate::x`, tests aside.
fn used_modules(path: &Path) -> Vec<String> {
    let code = code(path);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut used: Vec<String> = lines
        .flat_map(|line| line.match_indices("crate::").map(move |(at, _)| &line[at + 7..]))
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
        .filter(|module| !module.is_empty())
        .collect();
    used.sort();
    used.dedup();
    used
}
