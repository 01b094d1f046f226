//! `/connections*`.
