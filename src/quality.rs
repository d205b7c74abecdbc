//! How good scores are, where it is known what was wrong: what is written under "evaluation".
//!
//! Owns: the measures. Does not own: scores (`score`), labels (`verdict`), or what is done with the
//! result (`evaluate`).
//!
//! Labels and scores come as one number or mark per row of a regular grid. A row without a score (NaN)
//! counts as the most ordinary one, 0: who says nothing has found nothing.

mod confusion;
mod incidents;
mod period;
mod range_pr;
mod runs;

pub use confusion::Confusion;
pub use incidents::Found;
pub use incidents::Incidents;
pub use incidents::Paging;
pub use period::buffer;
pub use period::period;
pub use range_pr::RangePr;

#[cfg(test)]
mod tests;
