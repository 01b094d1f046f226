//! `hitchpost serve`: starts everything, tells a new operator where to look, and stops gracefully.

use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::app::SharedApp;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::rng::Rng;
use crate::settings_file::SettingsFile;
use crate::start::{self, StartError};
use crate::{jobs, server};

/// How long background work, such as a refresh that the provider has not answered, may take at the end.
const STOP_BOUND: Duration = Duration::from_secs(30);

pub async fn serve(settings: Settings, file: Option<SettingsFile>) -> Result<ExitCode, StartError> {
    let Settings { config, warnings } = settings;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let listener = bind(&config).await?;
    let database = start::open_database(&config).await?;
    start::prepare_schema(&config, &database).await?;
    let app = start::build(config, database.pool.clone(), Clock::System, Rng::System).await?;
    if let Some(file) = file {
        start::apply_settings(&app, &file).await?;
    }
    jobs::spawn(&app);
    tell_where(&app);
    let mut serving = tokio::spawn(server::serve(app.clone(), listener));
    let died = tokio::select! {
        () = wait_for_signal() => false,
        // Nothing tells the listener to end here: it panicked, and a process that serves nobody must not stay.
        _ = &mut serving => true,
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
async fn stop(app: &SharedApp, serving: tokio::task::JoinHandle<()>) {
    tracing::info!("stopping");
    app.lifecycle.begin_stop();
    tokio::time::sleep(app.config.http.shutdown_delay).await;
    app.lifecycle.stopping.cancel();
    let _ = serving.await;
    app.lifecycle.tasks.close();
    if tokio::time::timeout(STOP_BOUND, app.lifecycle.tasks.wait()).await.is_err() {
        tracing::warn!("background work was still running after 30 s; it is cut off");
    }
    jobs::flush(app).await;
}
