//! `hitchpost serve`: starts everything, tells a new operator where to look, and stops gracefully.

use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::app::SharedApp;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::members::links;
use crate::rng::Rng;
use crate::settings_file::SettingsFile;
use crate::start::{self, StartError};
use crate::{assets, jobs, server, shipping};

/// How long background work, such as a refresh that the provider has not answered, may take at the end.
const STOP_BOUND: Duration = Duration::from_secs(30);
/// For the last operation logs on their way to other systems.
const SHIPPING_BOUND: Duration = Duration::from_secs(10);

pub async fn serve(settings: Settings, file: Option<SettingsFile>) -> Result<ExitCode, StartError> {
    let Settings { config, warnings } = settings;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let listener = bind(&config).await?;
    let admin = bind_own(&config, config.http.admin_port, "HITCHPOST_ADMIN_PORT").await?;
    let metrics = bind_own(&config, config.http.metrics_port, "HITCHPOST_METRICS_PORT").await?;
    let connect_ui = bind_connect_ui(&config).await?;
    let database = start::open_database(&config).await?;
    start::prepare_schema(&config, &database).await?;
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    if let Some(logs) = &database.logs {
        app.logs.keep_in(logs.clone());
    }
    if let Some(file) = file {
        start::apply_settings(&app, &file).await?;
    }
    jobs::tidy_logs(&app).await;
    jobs::spawn(&app);
    tell_where(&app);
    tell_setup_link(&app).await?;
    tokio::spawn(assets::prepare());
    let mut serving = JoinSet::new();
    serving.spawn(server::serve(app.clone(), listener));
    if let Some(listener) = admin {
        serving.spawn(server::serve_admin(app.clone(), listener));
    }
    if let Some(listener) = metrics {
        serving.spawn(server::serve_metrics(app.clone(), listener));
    }
    if let Some(listener) = connect_ui {
        serving.spawn(server::serve_connect_ui(app.clone(), listener));
    }
    let died = tokio::select! {
        () = wait_for_signal() => false,
        // Nothing tells a listener to end here: it panicked, and a process that serves nobody must not stay.
        _ = serving.join_next() => true,
    };
    if died {
        return Err(StartError("The listener ended unexpectedly.".into()));
    }
    stop(&app, serving).await;
    start::close_database(database).await;
    Ok(ExitCode::SUCCESS)
}

async fn bind(config: &Config) -> Result<TcpListener, StartError> {
    let address = format!("{}:{}", config.http.host, config.http.port);
    TcpListener::bind(&address).await.map_err(|error| {
        StartError(format!(
            "The address {address} cannot be used: {error}. Set SERVER_PORT or HITCHPOST_HOST."
        ))
    })
}

/// A port of the operator's own, when there is one.
async fn bind_own(config: &Config, port: Option<u16>, name: &str) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = port else { return Ok(None) };
    let address = format!("{}:{port}", config.http.host);
    let bound = TcpListener::bind(&address).await;
    bound
        .map(Some)
        .map_err(|error| StartError(format!("The address {address} cannot be used: {error}. Set {name}.")))
}

/// The Connect UI's own port. It is on the main port too, so that a busy one only matters to who asked for it.
async fn bind_connect_ui(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = config.connect_ui.port else { return Ok(None) };
    let address = format!("{}:{port}", config.http.host);
    match TcpListener::bind(&address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.connect_ui.port_is_required => Err(StartError(format!(
            "The address {address} of the Connect UI cannot be used: {error}. Set NANGO_CONNECT_UI_PORT."
        ))),
        Err(error) => {
            tracing::warn!(address, error = %error, "the Connect UI has no port of its own; it is at /connect-ui/");
            Ok(None)
        }
    }
}

fn tell_where(app: &SharedApp) {
    let http = &app.config.http;
    let limits = &app.config.limits;
    tracing::info!(
        url = http.server_url,
        oauth_callback = http.default_callback_url(),
        connect_ui = http.connect_url,
        api_keys = %app.config.data_dir.join("api-keys.env").display(),
        rate_limit_per_minute = if limits.enabled { limits.per_minute } else { 0 },
        version = env!("CARGO_PKG_VERSION"),
        "Hitchpost is ready"
    );
}

/// Prints the link that makes the first account, for as long as there is none. Only here, and not to the log: it is a secret.
async fn tell_setup_link(app: &SharedApp) -> Result<(), StartError> {
    let link = links::make_setup_link(app).await.map_err(|error| StartError(error.to_string()))?;
    if let Some(link) = link {
        println!("\nMake your account for the dashboard here (this link works once):\n\n    {link}\n");
    }
    Ok(())
}

async fn wait_for_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}

/// Turns `/ready` to 503, waits as long as the operator asked, then lets requests and jobs finish.
async fn stop(app: &SharedApp, mut serving: JoinSet<()>) {
    tracing::info!("stopping");
    app.lifecycle.begin_stop();
    tokio::time::sleep(app.config.http.shutdown_delay).await;
    app.lifecycle.stopping.cancel();
    while serving.join_next().await.is_some() {}
    app.lifecycle.tasks.close();
    if tokio::time::timeout(STOP_BOUND, app.lifecycle.tasks.wait()).await.is_err() {
        tracing::warn!("background work was still running after 30 s; it is cut off");
    }
    jobs::flush(app).await;
    shipping::finish(app, SHIPPING_BOUND).await;
}
