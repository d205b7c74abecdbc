//! Which of burn's two processor backends computes.
//!
//! Owns: the choice, made at run time. Does not own: what is computed.

use burn::tensor::Device;
use serde::Deserialize;
use serde::Serialize;

/// One of burn's backends for processors; both give the same scores up to rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// burn-flex: the faster one by far, see `benches/backends.rs`.
    #[default]
    Flex,
    /// burn-ndarray: the older one.
    Ndarray,
}

impl Backend {
    /// Both, in the order in which they are listed to users.
    pub const ALL: [Backend; 2] = [Backend::Flex, Backend::Ndarray];

    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
        }
    }

    /// Named outright: burn's default device obeys an environment variable, and panics on a
    /// name that it does not know.
    #[allow(deprecated, reason = "burn drops ndarray in 0.23; until then it is offered")]
    pub(super) fn device(self) -> Device {
        match self {
            Backend::Flex => Device::flex(),
            Backend::Ndarray => Device::ndarray(),
        }
    }
}
