//! Answers that many endpoints share.

use serde::Serialize;
use utoipa::ToSchema;

/// An answer with one member, `data`.
#[derive(Serialize)]
pub struct Data<T> {
    pub data: T,
}

/// The answer to a change that has nothing to show.
#[derive(Serialize, ToSchema)]
pub struct Done {
    pub success: bool,
}

impl Done {
    pub const YES: Done = Done { success: true };
}
