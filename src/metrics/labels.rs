//! The labels of the series. All but a few are constants, so that looking a series up allocates nothing.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// The first digit of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusClass(pub u16);

impl EncodeLabelValue for StatusClass {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        write!(encoder, "{}xx", self.0)
    }
}

macro_rules! results {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                encoder.write_str(match self {
                    $($name::$variant => $text,)*
                })
            }
        }
    )*};
}

results! {
    CallResult { Success = "success", Failure = "failure" }
    AuthResult { Success = "success", Failure = "failure" }
    JobResult { Success = "success", Failure = "failure" }
    /// What came of asking for credentials.
    RefreshResult {
        Success = "success",
        /// The provider refused.
        Failure = "failure",
        /// They were still good.
        Fresh = "fresh",
        /// The attempt ended for a reason on our side.
        Unknown = "unknown",
    }
}

impl AuthResult {
    /// Whether it worked.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { AuthResult::Success } else { AuthResult::Failure }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    pub route: &'static str,
    pub status: StatusClass,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProxyLabels {
    pub provider: String,
    /// Empty unless the operator asked for it.
    pub integration: String,
    pub result: CallResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabels {
    pub provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefreshLabels {
    pub provider: String,
    pub result: RefreshResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AuthLabels {
    pub mode: &'static str,
    pub result: AuthResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    pub r#type: &'static str,
    pub action: &'static str,
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobRunLabels {
    /// Not `job`, which is Prometheus' own name of the server.
    pub name: &'static str,
    pub result: JobResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabels {
    pub name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    pub state: &'static str,
}
